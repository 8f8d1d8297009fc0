// SPDX-License-Identifier: Apache-2.0
#include <numeric>
#include <vector>

#include "packing.hpp"
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_binpack() {
  return make_strategy(
      {.name = "binpack",
       .summary = "connected components packed into tiles, each in the order that it has",
       .citation = "own; the problem: Johnson, Near-optimal bin packing algorithms, MIT (1973)",
       .capabilities = {.rectangular = false, .symmetric_output = true}},
      [](const CsrView& mask, const Params&, const Context& context) {
        std::vector<std::int32_t> tokens(static_cast<std::size_t>(mask.n_rows));
        std::iota(tokens.begin(), tokens.end(), 0);
        return pack_components(mask, tokens, context.objective.tile, context.seed);
      });
}

}  // namespace reorder

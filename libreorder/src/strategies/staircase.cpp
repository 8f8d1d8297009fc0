// SPDX-License-Identifier: Apache-2.0
#include "keys_first.hpp"
#include "packing.hpp"
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_staircase() {
  return make_strategy(
      {.name = "staircase",
       .summary = "keys before the queries that see them, documents packed into tiles, trees in "
                  "preorder; one order for both sides",
       .citation = "own; circles by Tarjan, SIAM J. Comput. 1 (1972)",
       .capabilities = {.rectangular = false, .symmetric_output = true}},
      [](const CsrView& mask, const Params&, const Context& context) {
        return pack_components(mask, keys_first(mask), context.objective.tile, context.seed);
      });
}

}  // namespace reorder

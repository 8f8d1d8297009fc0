// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "graph.hpp"
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_components() {
  return make_strategy(
      {.name = "components",
       .summary = "connected components one after the other, each in the order that it has",
       .citation = "Hopcroft and Tarjan, Algorithm 447, CACM 16 (1973); union-find by Tarjan, JACM "
                   "22 (1975)",
       .capabilities = {.symmetric_output = true}},
      [](const CsrView& mask, const Params&, const Context&) {
        std::vector<std::int32_t> vertices = sorted_by_key(connected_components(mask).of);
        if (mask.is_square()) return Ordering::same(Permutation(std::move(vertices)));
        return split_vertices(mask, vertices);
      });
}

}  // namespace reorder

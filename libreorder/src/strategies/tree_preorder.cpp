// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "keys_first.hpp"
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_tree_preorder() {
  return make_strategy(
      {.name = "tree_preorder",
       .summary = "keys before the queries that see them: trees in preorder, the largest branch "
                  "first",
       .citation = "own; circles by Tarjan, SIAM J. Comput. 1 (1972)",
       .capabilities = {.rectangular = false, .symmetric_output = true}},
      [](const CsrView& mask, const Params&, const Context&) {
        return Ordering::same(Permutation(keys_first(mask)));
      });
}

}  // namespace reorder

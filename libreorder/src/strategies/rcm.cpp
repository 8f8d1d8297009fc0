// SPDX-License-Identifier: Apache-2.0
#include "cuthill_mckee.hpp"
#include "graph.hpp"
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_rcm() {
  return make_strategy(
      {.name = "rcm",
       .summary = "reverse Cuthill-McKee on A + Aᵀ (on rows and columns when rectangular)",
       .citation = "Cuthill and McKee, ACM '69; George and Liu, TOMS 5 (1979)",
       .capabilities = {.symmetric_output = true}},
      [](const CsrView& mask, const Params&, const Context&) {
        const MaskGraph graph(mask, Diagonal::keep);
        return graph.to_ordering(reverse_cuthill_mckee(graph.view()));
      });
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "strategies/make.hpp"

#ifdef BLOCKFILL_HAVE_METIS
#include "graph.hpp"
#include "metis.hpp"
#endif

namespace reorder {

StrategyPtr make_metis_nd() {
  StrategyInfo info{.name = "metis_nd",
                    .summary = "multilevel nested dissection of A + Aᵀ, by METIS",
                    .citation = "Karypis and Kumar, SISC 20 (1998); METIS_NodeND",
                    .capabilities = {.symmetric_output = true, .needs = "METIS"}};
#ifdef BLOCKFILL_HAVE_METIS
  return make_strategy(
      std::move(info), [](const CsrView& mask, const Params&, const Context& context) {
        const MaskGraph graph(mask, Diagonal::drop);
        return graph.to_ordering(metis::nested_dissection(graph.view(), context.seed));
      });
#else
  return make_unavailable(std::move(info));
#endif
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "strategies/make.hpp"

#ifdef BLOCKFILL_HAVE_METIS
#include "metis.hpp"
#endif

namespace reorder {

StrategyPtr make_metis_rb() {
  StrategyInfo info{
      .name = "metis_rb",
      .summary = "recursive bisection of A + Aᵀ by METIS, parts one after the other",
      .citation = "Karypis and Kumar, SISC 20 (1998); METIS_PartGraphRecursive",
      .params = {{.name = "parts",
                  .fallback = std::int64_t{0},
                  .min = 0,
                  .max = 2147483647,
                  .summary = "number of parts; 0 is one for each row or column of tiles"}},
      .capabilities = {.symmetric_output = true, .needs = "METIS"}};
#ifdef BLOCKFILL_HAVE_METIS
  return make_strategy(std::move(info),
                       [](const CsrView& mask, const Params& params, const Context& context) {
                         return metis::order_by_parts(mask, metis::Method::recursive_bisection,
                                                      params.integer("parts"), context);
                       });
#else
  return make_unavailable(std::move(info));
#endif
}

}  // namespace reorder

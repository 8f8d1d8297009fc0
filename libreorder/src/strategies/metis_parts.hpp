// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "metis.hpp"
#include "strategies/make.hpp"

namespace reorder {

/// A strategy that lays the parts of a METIS partition by `method` out one after the other.
inline StrategyPtr make_metis_parts(std::string name, std::string summary, std::string citation,
                                    [[maybe_unused]] metis::Method method,
                                    metis::Vertices vertices = metis::Vertices::mask_graph) {
  StrategyInfo info{
      .name = std::move(name),
      .summary = std::move(summary),
      .citation = std::move(citation),
      .params = {{.name = "parts",
                  .fallback = std::int64_t{0},
                  .min = 0,
                  .max = 2147483647,
                  .summary = "number of parts; 0 is one for each row or column of tiles"}},
      .capabilities = {.symmetric_output = vertices == metis::Vertices::mask_graph,
                       .needs = "METIS"}};
#ifdef BLOCKFILL_HAVE_METIS
  return make_strategy(
      std::move(info),
      [method, vertices](const CsrView& mask, const Params& params, const Context& context) {
        return metis::order_by_parts(mask, method, vertices, params.integer("parts"), context);
      });
#else
  return make_unavailable(std::move(info));
#endif
}

}  // namespace reorder

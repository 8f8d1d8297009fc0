// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <utility>
#include <vector>

#include "fill_groups.hpp"
#include "multilevel.hpp"
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_hypergraph() {
  return make_strategy(
      {.name = "hypergraph",
       .summary = "multilevel partition of the rows into tiles that gather few keys, then columns "
                  "by the row tiles that they touch",
       .citation = "own; the metric and the scheme: Catalyurek and Aykanat, TPDS 10 (1999)",
       .params = {{.name = "rounds",
                   .fallback = std::int64_t{4},
                   .min = 0,
                   .max = 10000,
                   .summary = "of local search on each level"}}},
      [](const CsrView& mask, const Params& params, const Context& context) {
        const Tile tile = context.objective.tile;
        std::vector<std::int32_t> rows =
            multilevel_parts(mask, {.group = tile.rows,
                                    .rounds = static_cast<int>(params.integer("rounds")),
                                    .seed = context.seed,
                                    .threads = context.threads});
        std::vector<std::int32_t> cols = fill_column_groups(transpose(mask), rows, tile);
        return Ordering{Permutation(std::move(rows)), Permutation(std::move(cols)), false};
      });
}

}  // namespace reorder

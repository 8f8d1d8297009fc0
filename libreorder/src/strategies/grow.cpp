// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "fill_groups.hpp"
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_grow() {
  return make_strategy(
      {.name = "grow",
       .summary = "fills tile after tile with the row that adds the fewest keys, then columns by "
                  "the row tiles that they touch",
       .citation = "own; the cost is the connectivity metric of Catalyurek and Aykanat, TPDS 10 "
                   "(1999)",
       .params = {{.name = "parts",
                   .fallback = std::int64_t{1},
                   .min = 1,
                   .max = 65536,
                   .summary = "groups that fill a tile: 2 finds blocks of half a tile"}}},
      [](const CsrView& mask, const Params& params, const Context& context) {
        const auto parts = static_cast<std::int32_t>(params.integer("parts"));
        const Tile tile{std::max(context.objective.tile.rows / parts, 1),
                        std::max(context.objective.tile.cols / parts, 1)};
        const Csr transposed = transpose(mask);
        std::vector<std::int32_t> rows =
            fill_groups(mask, transposed, tile.rows, most_common_degree(transposed));
        std::vector<std::int32_t> cols = fill_column_groups(transposed, rows, tile);
        return Ordering{Permutation(std::move(rows)), Permutation(std::move(cols)), false};
      });
}

}  // namespace reorder

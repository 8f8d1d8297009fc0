// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "fill_groups.hpp"
#include "like_rows.hpp"
#include "members.hpp"
#include "strategies/make.hpp"

namespace reorder {
namespace {

/// Looking for classes takes no more entries than so many times those of the mask.
constexpr std::int64_t kWorkPerEntry = 50;

/// Class after class in bundles of `size`, so that a bundle is of one class. What a class leaves is
/// pooled, and the pool gives a bundle as soon as it holds one.
std::vector<std::int32_t> in_pure_bundles(const RowClasses& classes, std::size_t size) {
  const Members members(classes.of, static_cast<std::size_t>(classes.count));
  std::vector<std::int32_t> order;
  order.reserve(classes.of.size());
  std::vector<std::int32_t> pool;
  for (std::int32_t k = 0; k < classes.count; ++k) {
    const auto rows = members.of(k);
    const std::size_t whole = rows.size() / size * size;
    order.insert(order.end(), rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(whole));
    for (const std::int32_t row : rows.subspan(whole)) {
      pool.push_back(row);
      if (pool.size() < size) continue;
      order.insert(order.end(), pool.begin(), pool.end());
      pool.clear();
    }
  }
  order.insert(order.end(), pool.begin(), pool.end());
  return order;
}

std::vector<std::int32_t> bundles_of_rows(const CsrView& mask, const CsrView& transposed,
                                          double similarity, std::int32_t size) {
  return in_pure_bundles(classes_of_like_rows(mask, transposed,
                                              {.similarity = similarity,
                                               .most_common = most_common_degree(transposed),
                                               .work_limit = kWorkPerEntry * mask.nnz()}),
                         static_cast<std::size_t>(size));
}

}  // namespace

StrategyPtr make_supervariable() {
  return make_strategy(
      {.name = "supervariable",
       .summary = "rows that share most of their keys in bundles of half a tile, then columns by "
                  "the bundles that they touch",
       .citation = "Ashcraft, SISC 16 (1995); like rows after Labini et al., Blocking sparse "
                   "matrices, IA3 (2022)",
       .params = {{.name = "parts",
                   .fallback = std::int64_t{2},
                   .min = 1,
                   .max = 65536,
                   .summary = "bundles that fill a tile"},
                  {.name = "similarity",
                   .fallback = 0.5,
                   .min = 0,
                   .max = 1,
                   .summary = "share of the keys of both that two like rows have in common"}}},
      [](const CsrView& mask, const Params& params, const Context& context) {
        const auto parts = static_cast<std::int32_t>(params.integer("parts"));
        const Tile tile{std::max(context.objective.tile.rows / parts, 1),
                        std::max(context.objective.tile.cols / parts, 1)};
        const Csr transposed = transpose(mask);
        const double similarity = params.number("similarity");
        const std::vector<std::int32_t> rows =
            bundles_of_rows(mask, transposed, similarity, tile.rows);
        Ordering best;
        std::int64_t least = std::numeric_limits<std::int64_t>::max();
        const auto consider = [&](Ordering ordering) {
          const std::int64_t tiles = count_tiles(mask, ordering, tile).nonempty;
          if (tiles >= least) return;
          least = tiles;
          best = std::move(ordering);
        };
        if (mask.is_square()) consider(Ordering::same(Permutation(rows)));
        consider(
            {Permutation(rows), Permutation(fill_column_groups(transposed, rows, tile)), false});
        consider({Permutation(rows),
                  Permutation(bundles_of_rows(transposed, mask, similarity, tile.cols)), false});
        return best;
      });
}

}  // namespace reorder

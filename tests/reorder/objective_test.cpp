// SPDX-License-Identifier: Apache-2.0
#include "reorder/objective.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "expect_error.hpp"
#include "patterns.hpp"

namespace reorder {
namespace {

using testing::expect_error;

/// Tiles, full tiles and entries per tile by looking at every element of the dense matrix.
struct Brute {
  std::int64_t nonempty = 0;
  std::int64_t full = 0;
  std::int64_t max_per_row = 0;
  std::int64_t gather = 0;
  std::vector<TileRowCounts> rows;
  std::vector<std::int64_t> nnz_of_nonempty;
};

Brute brute_force(const CsrView& pattern, const Ordering& ordering, Tile tile) {
  const auto matrix = testing::dense(pattern, ordering);
  Brute result;
  for (std::int32_t top = 0; top < pattern.n_rows; top += tile.rows) {
    const std::int32_t bottom = std::min(pattern.n_rows, top + tile.rows);
    TileRowCounts row;
    std::set<std::int32_t> keys;
    for (std::int32_t left = 0; left < pattern.n_cols; left += tile.cols) {
      const std::int32_t right = std::min(pattern.n_cols, left + tile.cols);
      std::int64_t nnz = 0;
      for (std::int32_t i = top; i < bottom; ++i) {
        for (std::int32_t j = left; j < right; ++j) {
          if (!matrix[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)]) continue;
          ++nnz;
          keys.insert(j);
        }
      }
      if (nnz == 0) continue;
      ++row.nonempty;
      row.full += nnz == std::int64_t{bottom - top} * (right - left);
      result.nnz_of_nonempty.push_back(nnz);
    }
    result.rows.push_back(row);
    result.nonempty += row.nonempty;
    result.full += row.full;
    result.max_per_row = std::max(result.max_per_row, row.nonempty);
    result.gather += (static_cast<std::int64_t>(keys.size()) + tile.cols - 1) / tile.cols;
  }
  return result;
}

TEST(CountTiles, PathByHand) {
  // 8 vertices on a path, 4 x 4 tiles: two diagonal tiles and the two that hold (3,4) and (4,3).
  const TileCounts counts = count_tiles(testing::path(8), {.rows = 4, .cols = 4});
  EXPECT_EQ(counts.nonempty, 4);
  EXPECT_EQ(counts.full, 0);
  EXPECT_EQ(counts.max_per_row, 2);
  EXPECT_EQ(counts.nnz, 22);
  EXPECT_EQ(counts.total(), 4);
  EXPECT_DOUBLE_EQ(counts.fill(), 22.0 / 64);
  EXPECT_DOUBLE_EQ(counts.imbalance(), 1);
}

TEST(CountTiles, AFullTileLacksNothing) {
  // 3 x 3 under 2 x 2 tiles: the tile at the ragged corner is 1 x 1.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 3; ++i) {
    for (std::int32_t j = 0; j < 3; ++j) entries.emplace_back(i, j);
  }
  EXPECT_EQ(count_tiles(Csr::from_entries(3, 3, entries), {.rows = 2, .cols = 2}).full, 4);
  entries.pop_back();  // the corner tile is empty now
  entries.erase(entries.begin());
  const TileCounts counts = count_tiles(Csr::from_entries(3, 3, entries), {.rows = 2, .cols = 2});
  EXPECT_EQ(counts.nonempty, 3);
  EXPECT_EQ(counts.full, 2);
}

TEST(CountTiles, OneMissingEntryOf4096IsPartial) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 64; ++i) {
    for (std::int32_t j = 0; j < 64; ++j) entries.emplace_back(i, j);
  }
  entries.erase(entries.begin() + 1234);
  const TileCounts counts = count_tiles(Csr::from_entries(64, 64, entries), {64, 64});
  EXPECT_EQ(counts.nonempty, 1);
  EXPECT_EQ(counts.full, 0);
}

TEST(CountTiles, EmptyPatterns) {
  const TileCounts counts = count_tiles(Csr(), Tile{});
  EXPECT_EQ(counts.total(), 0);
  EXPECT_EQ(counts.nonempty, 0);
  EXPECT_DOUBLE_EQ(counts.fill(), 1);
  EXPECT_DOUBLE_EQ(counts.imbalance(), 0);
  EXPECT_EQ(count_tiles(Csr::from_entries(300, 5, {}), Tile{}).total(), 3);
}

TEST(Objective, MatchesBruteForceOnDenseMatrices) {
  const Tile tiles[] = {{1, 1}, {2, 3}, {4, 4}, {3, 8}, {64, 64}};
  for (std::uint32_t seed = 0; seed < 12; ++seed) {
    const std::int32_t n_rows = 5 + static_cast<std::int32_t>(seed * 7 % 23);
    const std::int32_t n_cols = 4 + static_cast<std::int32_t>(seed * 5 % 19);
    const Csr a = testing::random_pattern(n_rows, n_cols, n_rows * n_cols / 2, seed);
    const Ordering ordering{testing::random_permutation(n_rows, seed),
                            testing::random_permutation(n_cols, seed + 100), false};
    for (const Tile tile : tiles) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " tile " + std::to_string(tile.rows) + "x" +
                   std::to_string(tile.cols));
      const Brute expected = brute_force(a, ordering, tile);
      const TileCounts counts = count_tiles(a, ordering, tile);
      EXPECT_EQ(counts.nonempty, expected.nonempty);
      EXPECT_EQ(counts.full, expected.full);
      EXPECT_EQ(counts.max_per_row, expected.max_per_row);
      EXPECT_LE(tile_lower_bound(a, tile), expected.nonempty);
      const auto rows = count_tile_rows(a, ordering, tile);
      ASSERT_EQ(static_cast<std::int64_t>(rows.size()), counts.tile_rows);
      for (std::size_t r = 0; r < rows.size(); ++r) {
        EXPECT_EQ(rows[r].nonempty, expected.rows[r].nonempty);
        EXPECT_EQ(rows[r].full, expected.rows[r].full);
      }

      const Csr permuted = permute(a, ordering);
      EXPECT_EQ(count_tiles(permuted, tile).nonempty, expected.nonempty);
      EXPECT_EQ(tile_lower_bound(permuted, tile), tile_lower_bound(a, tile));

      EXPECT_EQ(evaluate(Objective::tiles(tile), a, ordering), expected.nonempty);
      EXPECT_EQ(evaluate({.kind = Objective::Kind::gather, .tile = tile}, a, ordering),
                expected.gather);
      double split = 0;
      for (const std::int64_t nnz : expected.nnz_of_nonempty) split += nnz >= 3 ? 1 : 0.25 * nnz;
      EXPECT_DOUBLE_EQ(
          evaluate({.kind = Objective::Kind::tiles_min, .tile = tile, .theta = 3, .lambda = 0.25},
                   a, ordering),
          split);
      EXPECT_DOUBLE_EQ(
          evaluate({.kind = Objective::Kind::cost_model,
                    .tile = tile,
                    .t_full = 2,
                    .t_partial = 3,
                    .t_row = 0.5},
                   a, ordering),
          2.0 * expected.full + 3.0 * (expected.nonempty - expected.full) + 0.5 * counts.tile_rows);
    }
  }
}

TEST(Objective, PartsOfTiles) {
  // Of the six 2 x 2 parts of the first 6 x 4 tile one is full and one holds a single entry; the
  // second tile is empty, the third holds a single entry.
  const testing::Entries entries{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {5, 3}, {6, 4}};
  const Csr a = Csr::from_entries(12, 8, entries);
  const Objective objective = parse_objective(
      "cost_model{6,4,t_full=1,t_partial=10,t_row=1000,part_rows=2,part_cols=2,t_tile=100}");
  EXPECT_EQ(evaluate(objective, a, Ordering::identity(12, 8)), 1 * 1 + 2 * 10 + 2 * 100 + 2 * 1000);
}

TEST(Objective, RowsInBoxesAreNotMoved) {
  const Csr a = Csr::from_entries(32, 32, testing::Entries{{0, 0}});
  Objective objective{.kind = Objective::Kind::cost_model,
                      .tile = {.rows = 8, .cols = 8},
                      .t_full = 0,
                      .t_partial = 0,
                      .t_gather = 1};
  const auto moved = [&](std::vector<std::int32_t> rows, std::int64_t box) {
    objective.box = box;
    Ordering ordering = Ordering::identity(32, 32);
    ordering.symmetric = false;
    ordering.rows = Permutation(std::move(rows));
    return evaluate(objective, a, ordering);
  };
  // Stride 2 twice, stride 1 and, in the last eight places, no progression.
  const std::vector<std::int32_t> order{0,  2,  4,  6,  8,  10, 12, 14, 1,  3,  5,
                                        7,  9,  11, 13, 15, 16, 17, 18, 19, 20, 21,
                                        22, 23, 24, 27, 25, 26, 28, 29, 30, 31};
  EXPECT_EQ(moved(order, 1), 2 * 32);
  EXPECT_EQ(moved(order, 8), 2 * 8);
  EXPECT_EQ(moved(order, 4), 2 * 4);
  // Falling rows are in no box, nor are any where boxes hold less than half of them.
  std::vector<std::int32_t> falling(32);
  for (std::int32_t i = 0; i < 32; ++i) falling[static_cast<std::size_t>(i)] = 31 - i;
  EXPECT_EQ(moved(falling, 8), 2 * 32);
  std::sort(falling.begin() + 24, falling.end());
  EXPECT_EQ(moved(falling, 8), 2 * 32);
}

TEST(Objective, ManyTileColumns) {
  // More than 65,535 columns of tiles: the wide lookup.
  const testing::Entries entries{{0, 0}, {0, 69'999}, {1, 35'000}};
  const Csr a = Csr::from_entries(2, 70'000, entries);
  EXPECT_EQ(count_tiles(a, {.rows = 2, .cols = 1}).nonempty, 3);
  EXPECT_EQ(count_tiles(a, {.rows = 2, .cols = 1}).full, 0);
  EXPECT_EQ(count_tiles(a, {.rows = 1, .cols = 1}).full, 3);
}

TEST(LowerBound, ByHand) {
  // A star of 9: the hub's row needs ⌈9/4⌉ = 3 tiles; the row tiles led by leaves need one each.
  testing::Entries edges;
  for (std::int32_t leaf = 1; leaf < 9; ++leaf) edges.emplace_back(0, leaf);
  const Csr star = Csr::from_entries(9, 9, testing::undirected(9, edges));
  EXPECT_EQ(tile_lower_bound(star, {.rows = 4, .cols = 4}), 3 + 1 + 1);
  // A dense matrix needs all its tiles.
  const Csr full = Csr::from_entries(4, 4, [] {
    testing::Entries all;
    for (std::int32_t i = 0; i < 16; ++i) all.emplace_back(i / 4, i % 4);
    return all;
  }());
  EXPECT_EQ(tile_lower_bound(full, {.rows = 2, .cols = 2}), 4);
  EXPECT_EQ(tile_lower_bound(Csr(), Tile{}), 0);
}

TEST(Envelope, PathAndReversedPath) {
  const Csr path = testing::path(6);
  EnvelopeStats stats = envelope(path, Ordering::identity(6, 6));
  EXPECT_EQ(stats.bandwidth, 1);
  EXPECT_EQ(stats.profile, 5);
  // Old vertices 0 and 5 side by side: 0 5 1 2 3 4. Vertex 4 stands at place 5, vertex 5 at 1.
  stats = envelope(path, Ordering::same(Permutation({0, 5, 1, 2, 3, 4})));
  EXPECT_EQ(stats.bandwidth, 4);
  EXPECT_EQ(stats.profile, 0 + 0 + 2 + 1 + 1 + 4);
}

TEST(ParseObjective, RoundTrips) {
  for (const char* text :
       {"tiles{128,128}", "gather{64,32}", "tiles_min{128,64,theta=16,lambda=0.01}",
        "cost_model{128,128,t_full=1,t_partial=1.25,t_row=0.5}",
        "cost_model{128,128,t_full=1,t_partial=1,t_row=0,t_gather=0.5,box=8}",
        "cost_model{192,128,t_full=1,t_partial=1.25,t_row=0.5,part_rows=64,part_cols=32,t_tile="
        "2}"}) {
    EXPECT_EQ(to_string(parse_objective(text)), text);
  }
  EXPECT_EQ(parse_objective("tiles"), Objective::tiles({128, 128}));
  EXPECT_EQ(to_string(parse_objective("tiles_min{8,8,4}")), "tiles_min{8,8,theta=4,lambda=0}");
}

TEST(ParseObjective, SaysWhatIsWrong) {
  expect_error(ErrorCode::syntax, "did you mean 'tiles'", [] { (void)parse_objective("tile"); });
  expect_error(ErrorCode::syntax, "no objective 'fill'", [] { (void)parse_objective("fill"); });
  expect_error(ErrorCode::syntax, "more than one", [] { (void)parse_objective("tiles|gather"); });
  expect_error(ErrorCode::invalid_argument, "rows is 0, but must be in [1, 65536]",
               [] { (void)parse_objective("tiles{0,128}"); });
  expect_error(ErrorCode::invalid_argument, "lambda is -1, but must be at least 0",
               [] { (void)parse_objective("tiles_min{8,8,theta=1,lambda=-1}"); });
  expect_error(ErrorCode::syntax, "must be a number, not 'nan'",
               [] { (void)parse_objective("cost_model{8,8,nan}"); });
  expect_error(ErrorCode::invalid_argument, "a tile of 8 x 8 does not consist of parts of 4 x 3",
               [] { validate(parse_objective("cost_model{8,8,part_rows=4,part_cols=3}")); });
  expect_error(ErrorCode::syntax, "'tiles{8,8' is no objective; one is written as tiles{128,128}",
               [] { (void)parse_objective("tiles{8,8"); });
}

TEST(Objective, RefusesWrongTilesAndSizes) {
  const Csr path = testing::path(4);
  expect_error(ErrorCode::invalid_argument, "0 x 128; each side must be in [1, 65536]",
               [&] { (void)count_tiles(path, {.rows = 0, .cols = 128}); });
  expect_error(ErrorCode::invalid_argument, "does not fit a pattern of 4 x 4",
               [&] { (void)count_tiles(path, Ordering::identity(3, 4), Tile{}); });
}

}  // namespace
}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "experiments/tile_map.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "experiments/support.hpp"
#include "reorder/error.hpp"
#include "reorder/npy.hpp"

namespace experiments {
namespace {

/// 3 x 5, tiles of 2 x 2: the right column of tiles is one wide, the lower row one high.
///
///     1 1 | . . | .
///     1 1 | . 1 | .
///     ----+-----+--
///     . . | 1 1 | 1
reorder::Csr ragged() {
  return {3, 5, {0, 2, 5, 8}, {0, 1, 0, 1, 3, 2, 3, 4}};
}

TEST(TileMap, RaggedTilesAreFullWhenAllTheyHaveIsAllowed) {
  const auto map = tile_map(ragged(), reorder::Ordering::identity(3, 5), {2, 2});
  EXPECT_EQ(map.rows, 2);
  EXPECT_EQ(map.cols, 3);
  EXPECT_EQ(map.fill, (std::vector<float>{1, 0.25F, 0, 0, 1, 1}));
}

TEST(TileMap, FollowsTheOrdering) {
  // Rows 2, 0, 1 and columns 2, 3, 4, 0, 1:
  //     1 1 | 1 . | .
  //     . . | . 1 | 1
  //     . 1 | . 1 | 1   (row 1: columns 0, 1, 3)
  const reorder::Ordering ordering{reorder::Permutation({2, 0, 1}),
                                   reorder::Permutation({2, 3, 4, 0, 1}), false};
  const auto map = tile_map(ragged(), ordering, {2, 2});
  EXPECT_EQ(map.fill, (std::vector<float>{0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 1}));
  const auto counts = reorder::count_tiles(ragged(), ordering, {2, 2});
  EXPECT_EQ(counts.nonempty, 6);
  EXPECT_EQ(counts.full, 1);
}

TEST(TileMap, WritesWhatNumpyReads) {
  const test::TempDir dir;
  const TileMap map{2, 3, {0, 0.5F, 1, 0.25F, 0, 1}};
  write_tile_map(dir / "map.npy", map);
  const std::string bytes = test::slurp(dir / "map.npy");
  const auto header = reorder::parse_npy_header(bytes, "map.npy");
  EXPECT_EQ(header.descr, "<f4");
  EXPECT_FALSE(header.fortran_order);
  EXPECT_EQ(header.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(header.data_offset % 64, 0U);
  ASSERT_EQ(bytes.size(), header.data_offset + 6 * sizeof(float));
  std::vector<float> data(6);
  std::memcpy(data.data(), bytes.data() + header.data_offset, 6 * sizeof(float));
  EXPECT_EQ(data, map.fill);
}

TEST(TileMap, RefusesAMapThatShowsNothing) {
  const reorder::Csr tall(100000, 1, std::vector<std::int64_t>(100001, 0), {});
  const reorder::Csr wide(100000, 100000, std::vector<std::int64_t>(100001, 0), {});
  EXPECT_NO_THROW((void)tile_map(tall, reorder::Ordering::identity(100000, 1), {1, 1}));
  EXPECT_THROW((void)tile_map(wide, reorder::Ordering::identity(100000, 100000), {1, 1}),
               reorder::Error);
}

}  // namespace
}  // namespace experiments

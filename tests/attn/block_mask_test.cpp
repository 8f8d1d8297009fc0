// SPDX-License-Identifier: Apache-2.0
#include "attn/block_mask.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>

#include "attn/errors.hpp"
#include "attn/support.hpp"

namespace attn::test {
namespace {

/// What a BlockMask says about one element.
bool element(const BlockMask& mask, const TileLists& lists, std::int32_t i, std::int32_t j) {
  const auto [block_m, block_n] = mask.tile();
  const std::int32_t row_tile = i / block_m;
  for (const std::int32_t tile : lists.full(row_tile)) {
    if (tile == j / block_n) return true;
  }
  std::int64_t slot = lists.partial_offsets[static_cast<std::size_t>(row_tile)];
  for (const std::int32_t tile : lists.partial(row_tile)) {
    if (tile == j / block_n) {
      const std::int64_t bit = slot * mask.bits_per_tile() + i % block_m * block_n + j % block_n;
      return (lists.partial_bits[static_cast<std::size_t>(bit / 8)] >> (bit % 8)) & 1;
    }
    ++slot;
  }
  return false;
}

void expect_same(const BlockMask& got, const BoolMask& want) {
  ASSERT_EQ(got.n_q(), want.n_q);
  ASSERT_EQ(got.n_k(), want.n_k);
  for (std::int32_t i = 0; i < want.n_q; ++i) {
    for (std::int32_t j = 0; j < want.n_k; ++j) {
      ASSERT_EQ(element(got, got.lists(), i, j), want(i, j)) << "at query " << i << ", key " << j;
    }
  }
}

void expect_equal(const BlockMask& a, const BlockMask& b) {
  const TileLists x = a.lists();
  const TileLists y = b.lists();
  const auto same = [](auto left, auto right) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end());
  };
  EXPECT_TRUE(same(x.full_offsets, y.full_offsets));
  EXPECT_TRUE(same(x.full_tiles, y.full_tiles));
  EXPECT_TRUE(same(x.partial_offsets, y.partial_offsets));
  EXPECT_TRUE(same(x.partial_tiles, y.partial_tiles));
  EXPECT_TRUE(same(x.partial_bits, y.partial_bits));
}

std::vector<std::uint8_t> packed_bits(const BoolMask& mask, std::int64_t stride) {
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(stride * mask.n_q), 0);
  for (std::int32_t i = 0; i < mask.n_q; ++i) {
    // Rubbish beyond the last key must not matter.
    for (std::int32_t j = 0; j < stride * 8; ++j) {
      if (j >= mask.n_k || mask(i, j)) {
        bits[static_cast<std::size_t>(i * stride + j / 8)] |= static_cast<std::uint8_t>(1 << j % 8);
      }
    }
  }
  return bits;
}

TEST(BlockMask, CausalOf32By8IsTheStaircaseOneDraws) {
  const BoolMask causal(32, 32, [](int i, int j) { return j <= i; });
  const BlockMask mask = causal.tiled({.block_m = 8, .block_n = 8});
  EXPECT_EQ(mask.full_count(), 6);
  EXPECT_EQ(mask.partial_count(), 4);
  const TileLists lists = mask.lists();
  EXPECT_EQ(std::vector(lists.full(3).begin(), lists.full(3).end()),
            (std::vector<std::int32_t>{0, 1, 2}));
  EXPECT_EQ(std::vector(lists.partial(3).begin(), lists.partial(3).end()),
            (std::vector<std::int32_t>{3}));
  // The diagonal tile: row r allows keys 0..r.
  for (std::size_t r = 0; r < 8; ++r) EXPECT_EQ(lists.partial_bits[r], (2u << r) - 1);
}

TEST(BlockMask, OneZeroMakesAFullTilePartial) {
  for (const std::int32_t edge : {8, 64, 256}) {
    const BoolMask mask(edge, edge, [&](int i, int j) { return i != edge - 1 || j != 0; });
    const BlockMask tiled = mask.tiled({.block_m = edge, .block_n = edge});
    EXPECT_EQ(tiled.full_count(), 0) << edge;
    EXPECT_EQ(tiled.partial_count(), 1) << edge;
  }
}

TEST(BlockMask, RaggedEdgesCanBeFull) {
  const BoolMask ones(19, 13, [](int, int) { return true; });
  const BlockMask mask = ones.tiled({.block_m = 8, .block_n = 8});
  EXPECT_EQ(mask.row_tiles(), 3);
  EXPECT_EQ(mask.key_tiles(), 2);
  EXPECT_EQ(mask.full_count(), 6);
  EXPECT_EQ(mask.partial_count(), 0);
}

TEST(BlockMask, FullTilesMayHaveGapsBetweenThem) {
  const BoolMask stripes(8, 40, [](int, int j) { return j / 8 % 2 == 0; });
  const BlockMask mask = stripes.tiled({.block_m = 8, .block_n = 8});
  const TileLists lists = mask.lists();
  EXPECT_EQ(std::vector(lists.full(0).begin(), lists.full(0).end()),
            (std::vector<std::int32_t>{0, 2, 4}));
}

TEST(BlockMask, TransposedCausalOf32By8) {
  const BoolMask causal(32, 32, [](int i, int j) { return j <= i; });
  const TransposedLists columns = causal.tiled({.block_m = 8, .block_n = 8}).transposed();
  EXPECT_EQ(std::vector(columns.full(1).begin(), columns.full(1).end()),
            (std::vector<std::int32_t>{2, 3}));
  EXPECT_EQ(std::vector(columns.partial(1).begin(), columns.partial(1).end()),
            (std::vector<std::int32_t>{1}));
  EXPECT_EQ(std::vector(columns.places(1).begin(), columns.places(1).end()),
            (std::vector<std::int64_t>{1}));
}

TEST(BlockMask, TransposedListsHoldTheSameTilesInOrder) {
  for (const auto& [n_q, n_k] : {std::pair{1, 1}, {131, 77}, {64, 300}, {0, 20}, {20, 0}}) {
    for (const double density : {0.0, 0.02, 0.5, 1.0}) {
      SCOPED_TRACE(std::to_string(n_q) + "x" + std::to_string(n_k) + ", density " +
                   std::to_string(density));
      std::mt19937 random(9);
      std::bernoulli_distribution coin(density);
      const BoolMask rule(n_q, n_k, [&](int, int j) { return j / 16 == 1 || coin(random); });
      const BlockMask mask = rule.tiled({.block_m = 8, .block_n = 16});
      const TileLists rows = mask.lists();
      const TransposedLists columns = mask.transposed();
      ASSERT_EQ(columns.full_offsets.size(), static_cast<std::size_t>(mask.key_tiles()) + 1);
      ASSERT_EQ(columns.partial_offsets.size(), static_cast<std::size_t>(mask.key_tiles()) + 1);
      ASSERT_EQ(columns.full_tiles.size(), rows.full_tiles.size());
      ASSERT_EQ(columns.partial_tiles.size(), rows.partial_tiles.size());
      for (std::int32_t key_tile = 0; key_tile < mask.key_tiles(); ++key_tile) {
        const auto full = columns.full(key_tile);
        const auto partial = columns.partial(key_tile);
        EXPECT_TRUE(std::is_sorted(full.begin(), full.end()));
        EXPECT_TRUE(std::is_sorted(partial.begin(), partial.end()));
        for (const std::int32_t row_tile : full) {
          const auto list = rows.full(row_tile);
          EXPECT_EQ(std::count(list.begin(), list.end(), key_tile), 1) << row_tile;
        }
        for (std::size_t n = 0; n < partial.size(); ++n) {
          const std::int64_t place = columns.places(key_tile)[n];
          EXPECT_EQ(rows.partial_tiles[static_cast<std::size_t>(place)], key_tile);
          const auto row_tile = static_cast<std::size_t>(partial[n]);
          EXPECT_GE(place, rows.partial_offsets[row_tile]);
          EXPECT_LT(place, rows.partial_offsets[row_tile + 1]);
        }
      }
    }
  }
}

TEST(BlockMask, EveryInputAndThreadCountGivesTheSameMask) {
  for (const auto& [n_q, n_k] : {std::pair{1, 1}, {40, 24}, {131, 77}, {64, 300}}) {
    for (const double density : {0.0, 0.02, 0.5, 0.98, 1.0}) {
      std::mt19937 random(7);
      std::bernoulli_distribution coin(density);
      const BoolMask want(n_q, n_k, [&](int, int) { return coin(random); });
      const Csr csr(want);
      const std::int64_t stride = (n_k + 7) / 8 + 3;
      const auto bits = packed_bits(want, stride);
      for (const TileShape tile : {TileShape{8, 8}, {16, 40}, {128, 64}, {256, 256}}) {
        SCOPED_TRACE(std::to_string(n_q) + "x" + std::to_string(n_k) + ", density " +
                     std::to_string(density) + ", tile " + to_string(tile));
        const BlockMask mask = want.tiled(tile);
        expect_same(mask, want);
        expect_equal(mask, want.tiled(tile, 3));
        expect_equal(mask, BlockMask::from_csr(csr.view(), tile));
        expect_equal(mask, BlockMask::from_csr(csr.view(), tile, 3));
        expect_equal(
            mask, BlockMask::from_dense({n_q, n_k, bits.data(), stride, DensePattern::Format::bits},
                                        tile, 2));
      }
    }
  }
}

TEST(BlockMask, AnyNonZeroByteAllows) {
  const std::vector<std::uint8_t> bytes{0, 1, 2, 128, 255, 0, 0, 7, 1};
  const BlockMask mask = BlockMask::from_dense({1, 9, bytes.data(), 9}, {8, 8});
  for (std::int32_t j = 0; j < 9; ++j) {
    EXPECT_EQ(element(mask, mask.lists(), 0, j), bytes[static_cast<std::size_t>(j)] != 0) << j;
  }
}

TEST(BlockMask, RemembersNothingOfTheInput) {
  BoolMask changing(16, 16, [](int i, int j) { return i == j; });
  const BlockMask before = changing.tiled({8, 8});
  changing.allowed.assign(changing.allowed.size(), 1);
  EXPECT_EQ(before.partial_count(), 2);
  EXPECT_EQ(changing.tiled({8, 8}).full_count(), 4);
}

TEST(BlockMask, CsrMemoryDoesNotGrowWithTheSquare) {
  constexpr std::int32_t n = 1 << 20;  // the matrix would hold 2^40 elements
  std::vector<std::int64_t> offsets(n + 1);
  std::vector<std::int32_t> cols(n);
  for (std::int32_t i = 0; i < n; ++i) {
    offsets[static_cast<std::size_t>(i) + 1] = i + 1;
    cols[static_cast<std::size_t>(i)] = i;
  }
  const BlockMask mask = BlockMask::from_csr({n, n, offsets, cols}, {128, 128}, 2);
  EXPECT_EQ(mask.partial_count(), n / 128);
  EXPECT_LT(mask.bytes(), std::size_t{20} << 20);
}

TEST(BlockMask, StackGivesEachBatchAndHeadItsOwn) {
  std::vector<BlockMask> masks;
  for (int index = 0; index < 6; ++index) {
    masks.push_back(BoolMask(48, 48, [&](int i, int) { return i / 8 == index; }).tiled({8, 8}));
  }
  const BlockMask stacked = BlockMask::stack(masks, 2, 3);
  EXPECT_EQ(stacked.batch(), 2);
  EXPECT_EQ(stacked.heads(), 3);
  EXPECT_EQ(stacked.full_count(), 36);
  for (int b = 0; b < 2; ++b) {
    for (int h = 0; h < 3; ++h) {
      for (int row_tile = 0; row_tile < 6; ++row_tile) {
        EXPECT_EQ(stacked.lists(b, h).full(row_tile).size(), row_tile == b * 3 + h ? 6u : 0u);
      }
    }
  }
  // A shared mask answers for every batch and head.
  EXPECT_EQ(masks[1].lists(5, 7).full(1).size(), 6u);
}

TEST(BlockMask, RefusesTilesThatAreNotAllowed) {
  const BoolMask ones(8, 8, [](int, int) { return true; });
  for (const TileShape tile : {TileShape{7, 8}, {8, 0}, {264, 8}, {8, 264}, {-8, 8}, {12, 8}}) {
    const std::string name = to_string(tile);
    expect_error(ErrorCode::invalid_argument, name, [&] { (void)ones.tiled(tile); });
    const Csr csr(ones);
    expect_error(ErrorCode::invalid_argument, name,
                 [&] { (void)BlockMask::from_csr(csr.view(), tile); });
  }
}

TEST(BlockMask, RefusesMalformedCsr) {
  using Offsets = std::vector<std::int64_t>;
  using Cols = std::vector<std::int32_t>;
  const auto check = [](const std::string& part, const Offsets& offsets, const Cols& cols) {
    for (const int threads : {1, 2}) {
      expect_error(ErrorCode::invalid_mask, part, [&] {
        (void)BlockMask::from_csr({2, 20, offsets, cols}, {8, 8}, threads);
      });
    }
  };
  check("2 offsets for 2 rows", {0, 1}, {0});
  check("offset 0 is 1", {1, 1, 1}, {0});
  check("offset 2 is 1, below the one before it, 2", {0, 2, 1}, {0, 1});
  check("the last offset is 3, but there are 2", {0, 1, 3}, {0, 1});
  check("the last offset is 1, but there are 2", {0, 1, 1}, {0, 1});
  check("row 1 holds column 20, outside [0, 20)", {0, 1, 2}, {0, 20});
  check("row 1 holds column 20, outside [0, 20)", {0, 1, 3}, {0, 19, 20});
  check("row 0 holds column -1, outside [0, 20)", {0, 1, 2}, {-1, 0});
  check("row 0 holds column 3 after 3", {0, 2, 2}, {3, 3});
  check("row 0 holds column 3 after 9", {0, 2, 2}, {9, 3});
  check("row 0 holds column 3 after 4", {0, 2, 2}, {4, 3});
  expect_error(ErrorCode::invalid_mask, "-1 queries", [] {
    (void)BlockMask::from_csr({-1, 2, {}, {}}, {8, 8});
  });
}

TEST(BlockMask, ReportsTheFirstBadRowWhateverTheThreads) {
  constexpr std::int32_t n = 4096;
  std::vector<std::int64_t> offsets(n + 1);
  std::vector<std::int32_t> cols(n, -5);
  for (std::int32_t i = 0; i <= n; ++i) offsets[static_cast<std::size_t>(i)] = i;
  for (int repeat = 0; repeat < 20; ++repeat) {
    cols[0] = 0;
    expect_error(ErrorCode::invalid_mask, "row 1 holds column -5", [&] {
      (void)BlockMask::from_csr({n, n, offsets, cols}, {8, 8}, 4);
    });
  }
}

TEST(BlockMask, RefusesMalformedDenseAndStacks) {
  const std::vector<std::uint8_t> bytes(64, 1);
  expect_error(ErrorCode::invalid_argument, "null pointer", [] {
    (void)BlockMask::from_dense({8, 8, nullptr, 8}, {8, 8});
  });
  expect_error(ErrorCode::invalid_argument, "row stride of 7 bytes is shorter than a row of 8",
               [&] {
                 (void)BlockMask::from_dense({8, 8, bytes.data(), 7}, {8, 8});
               });
  expect_error(
      ErrorCode::invalid_argument, "row stride of 1 bytes is shorter than a row of 2", [&] {
        (void)BlockMask::from_dense({8, 9, bytes.data(), 1, DensePattern::Format::bits}, {8, 8});
      });
  const BoolMask ones(8, 8, [](int, int) { return true; });
  const std::vector<BlockMask> two{ones.tiled({8, 8}), ones.tiled({8, 16})};
  expect_error(ErrorCode::invalid_argument, "2 masks for 3 batches of 1 heads",
               [&] { (void)BlockMask::stack(two, 3, 1); });
  expect_error(ErrorCode::invalid_argument, "mask 1 of the stack differs from the first",
               [&] { (void)BlockMask::stack(two, 2, 1); });
  expect_error(ErrorCode::invalid_argument, "at least 1",
               [&] { (void)BlockMask::stack({}, 0, 1); });
}

TEST(BlockMask, AMaskWithoutQueriesOrKeysIsEmpty) {
  const std::array<std::int64_t, 1> none{0};
  EXPECT_EQ(BlockMask::from_csr({0, 8, none, {}}, {8, 8}).row_tiles(), 0);
  EXPECT_EQ(BlockMask::from_dense({8, 0, nullptr, 0}, {8, 8}).full_count(), 0);
}

}  // namespace
}  // namespace attn::test

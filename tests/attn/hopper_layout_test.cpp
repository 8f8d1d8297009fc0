// SPDX-License-Identifier: Apache-2.0
//
// The Hopper kernels' form of a mask, read back as a kernel would read it. Needs no device.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string>

#include "attn/hopper_masks.hpp"
#include "cuda/hopper/cuts.hpp"
#include "cuda/hopper/layout.hpp"

namespace attn::test {
namespace {

using namespace hopper;

std::string text(const BoolMask& mask, TileShape tile, int groups) {
  return std::to_string(mask.n_q) + "x" + std::to_string(mask.n_k) + ", mask tiles " +
         to_string(tile) + ", " + std::to_string(groups) + " query blocks a tile";
}

void expect_same(const BoolMask& expected, const BoolMask& actual) {
  for (std::int32_t i = 0; i < expected.n_q; ++i) {
    for (std::int32_t j = 0; j < expected.n_k; ++j) {
      ASSERT_EQ(expected(i, j), actual(i, j)) << "query " << i << ", key " << j;
    }
  }
}

TEST(HopperLayout, TilesAndColumnsHoldTheMask) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    for (const auto& [n_q, n_k] : {std::pair{64, 128}, {700, 460}, {257, 513}, {1, 1}}) {
      const BoolMask mask = block_mask(n_q, n_k, seed);
      for (const TileShape tile : {TileShape{128, 128}, {64, 64}, {256, 64}, {64, 192}}) {
        const Strips strips = cut_strips(mask.tiled(tile), 1);
        SCOPED_TRACE(text(mask, tile, 0) + ", seed " + std::to_string(seed));
        expect_same(mask, mask_of_columns(strips, n_q, n_k));
        for (const int groups : {1, 2, 3}) {
          SCOPED_TRACE(text(mask, tile, groups));
          expect_same(mask, mask_of_tiles(strips, lay_out(strips, groups), groups, n_q, n_k));
        }
      }
    }
  }
}

TEST(HopperLayout, FullMeansEveryElement) {
  const BoolMask mask(64, 256, [](auto i, auto j) { return i != 63 || j != 64; });
  const Strips strips = cut_strips(mask.tiled({64, 128}), 1);
  ASSERT_EQ(strips.by_column.size(), 2U);
  EXPECT_EQ(strips.stored(), 1);
  EXPECT_EQ(strips.by_column[0].block >> kKeyTileBits, kFull | kPartial << 2);
  EXPECT_EQ(strips.by_column[0].bits, 0U);
  EXPECT_EQ(strips.by_column[1].block >> kKeyTileBits, kFull | kFull << 2);
  EXPECT_EQ(strips.by_column[1].bits, kNoBits);
}

TEST(HopperLayout, StoredStripsOfATileFollowEachOther) {
  const BoolMask mask = block_mask(900, 700, 5);
  const Strips strips = cut_strips(mask.tiled({128, 128}), 2);
  std::set<std::uint32_t> places;
  std::uint32_t next = 0;
  for (const StripEntry& strip : strips.by_column) {
    if (strip.bits == kNoBits) continue;
    EXPECT_EQ(strip.bits, next++);
  }
  EXPECT_EQ(static_cast<std::int64_t>(next), strips.stored());
}

TEST(HopperLayout, ItemsDescendAndTilesWithoutBitsComeFirst) {
  const BoolMask mask = block_mask(1300, 1100, 6);
  const Layout layout = lay_out(cut_strips(mask.tiled(), 1), 3);
  EXPECT_TRUE(std::is_sorted(layout.items.begin(), layout.items.end(),
                             [](const auto& a, const auto& b) { return a.n_tiles > b.n_tiles; }));
  constexpr std::uint32_t kPlace = (1U << kKeyTileBits) - 1;
  for (const WorkItem& item : layout.items) {
    for (std::int32_t t = 1; t < item.n_tiles; ++t) {
      const TileEntry& before = layout.tiles[static_cast<std::size_t>(item.first_tile + t - 1)];
      const TileEntry& here = layout.tiles[static_cast<std::size_t>(item.first_tile + t)];
      const bool same_kind = (before.bits == kNoBits) == (here.bits == kNoBits);
      EXPECT_TRUE(same_kind ? (before.key & kPlace) < (here.key & kPlace) : here.bits != kNoBits)
          << "row tile " << item.row_tile << ", tile " << t;
    }
  }
}

TEST(HopperLayout, StacksCountOn) {
  std::vector<BoolMask> rules;
  std::vector<BlockMask> masks;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    rules.push_back(block_mask(200, 300, 20 + seed));
    masks.push_back(rules.back().tiled());
  }
  const Strips strips = cut_strips(BlockMask::stack(masks, 2, 3), 1);
  const Layout layout = lay_out(strips, 2);
  for (std::int32_t m = 0; m < 6; ++m) {
    SCOPED_TRACE("mask " + std::to_string(m));
    expect_same(rules[static_cast<std::size_t>(m)], mask_of_columns(strips, 200, 300, m));
    expect_same(rules[static_cast<std::size_t>(m)], mask_of_tiles(strips, layout, 2, 200, 300, m));
  }
}

TEST(HopperLayout, BlocksWithoutKeysAreListed) {
  const BoolMask mask(200, 128, [](auto i, auto) { return i >= 64 && i < 128; });
  const Layout layout = lay_out(cut_strips(mask.tiled(), 1), 2);
  ASSERT_EQ(layout.empty_blocks.size(), 3U);
  EXPECT_EQ(layout.empty_blocks[0].block, 0);
  EXPECT_EQ(layout.empty_blocks[1].block, 2);
  EXPECT_EQ(layout.empty_blocks[2].block, 3);
}

/// A few long rows of tiles among many short ones.
std::vector<std::int32_t> lengths_with(std::vector<std::int32_t> lengths) {
  lengths.resize(lengths.size() + 500, 9);
  return lengths;
}

Cuts cut(const std::vector<std::int32_t>& lengths) {
  return cut_long_items(lengths, std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}),
                        132);
}

TEST(HopperCuts, PartsCoverEachItemOnceInOrder) {
  for (const auto& lengths :
       {lengths_with({1024}), lengths_with({1025, 1024, 513, 512, 257, 256, 200, 129, 128, 127}),
        lengths_with({100000, 5000, 5000, 130}), lengths_with({}), std::vector<std::int32_t>{3}}) {
    const Cuts cuts = cut(lengths);
    std::int32_t place = 0;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      SCOPED_TRACE("item " + std::to_string(i) + " of " + std::to_string(lengths[i]) + " tiles");
      const auto item = static_cast<std::int32_t>(i);
      ASSERT_EQ(first_place(cuts, item), place);
      std::int32_t next = 0;
      while (place < first_place(cuts, item + 1)) {
        const Part part = part_at(cuts, place++);
        ASSERT_EQ(part.item, item);
        ASSERT_EQ(part_begin(lengths[i], part.number, part.halvings), next);
        next = part_begin(lengths[i], part.number + 1, part.halvings);
      }
      ASSERT_EQ(next, lengths[i]);
    }
  }
}

TEST(HopperCuts, PartsAreOfOneSize) {
  const auto lengths = lengths_with({3000, 1024, 513, 512, 257, 200, 129});
  const Cuts cuts = cut(lengths);
  ASSERT_EQ(cuts.items[0], 7);
  EXPECT_LE(longest_part(cuts, lengths), kShortestCut);
  for (std::int32_t place = 0; place < first_place(cuts, 7); ++place) {
    const Part part = part_at(cuts, place);
    const std::int32_t n = lengths[static_cast<std::size_t>(part.item)];
    const std::int32_t length =
        part_begin(n, part.number + 1, part.halvings) - part_begin(n, part.number, part.halvings);
    EXPECT_GE(length, kShortestCut / 2) << "place " << place;
    EXPECT_LE(length, kShortestCut) << "place " << place;
  }
}

TEST(HopperCuts, RowsLikeTheOthersStayWhole) {
  std::vector<std::int32_t> dense(700, 1024), causal(1024);
  std::iota(causal.rbegin(), causal.rend(), 1);
  EXPECT_EQ(cut(dense).items[0], 0);
  EXPECT_EQ(cut(causal).items[0], 0);
  EXPECT_EQ(longest_part(cut(causal), causal), 1024);
}

}  // namespace
}  // namespace attn::test

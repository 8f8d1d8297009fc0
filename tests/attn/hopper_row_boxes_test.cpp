// SPDX-License-Identifier: Apache-2.0
//
// Orders as boxes of tensor maps, read back as the copies of rows and TMA would. Needs no device.
#include <gtest/gtest.h>

#include <string>

#include "attn/orders.hpp"
#include "cuda/hopper/row_boxes.hpp"

namespace attn::test {
namespace {

using namespace hopper;

std::uint32_t source(const RowBoxes& boxes, std::size_t index) {
  return boxes.boxes.at(index).part >> kSourceShift;
}

/// The row that stands `offset` rows into a box, or kNoRow where TMA reads zeros.
std::int32_t row_in(const RowBoxes& boxes, std::size_t index, std::int32_t offset, std::int32_t n) {
  const RowBox& box = boxes.boxes.at(index);
  const std::int32_t row = box.row + offset;
  const auto part = static_cast<std::int32_t>(box.part & ((1U << kSourceShift) - 1));
  switch (source(boxes, index)) {
    case kNatural:
      EXPECT_EQ(part, 0);
      return row < n ? row : kNoRow;
    case kCopied:
    case kWholeCopied:
      EXPECT_EQ(part, 0);
      return boxes.copy.at(static_cast<std::size_t>(row));
    default:
      EXPECT_LT(part, boxes.stride);
      return row < n / boxes.stride ? row * boxes.stride + part : kNoRow;
  }
}

/// All places of all blocks, and what else must hold of them.
void expect_order(const RowBoxes& boxes, const std::vector<std::int32_t>& order) {
  const auto n = static_cast<std::int32_t>(order.size());
  ASSERT_EQ(boxes.boxes.size() % (kRowBoxPadding * kBoxesOfBlock), 0U);
  ASSERT_GE(boxes.boxes.size() * kBoxRows, order.size());
  ASSERT_EQ(boxes.copy.size() % kBoxRows, 0U);
  for (std::size_t place = 0; place < boxes.boxes.size() * kBoxRows; ++place) {
    const std::size_t first = place / kQuadrant * kBoxesOfBlock;
    const bool whole = source(boxes, first) >= kWhole;
    const std::size_t index = whole ? first : place / kBoxRows;
    ASSERT_EQ(source(boxes, place / kBoxRows) >= kWhole, whole) << "place " << place;
    const auto offset = static_cast<std::int32_t>(place % (whole ? kQuadrant : kBoxRows));
    const std::int32_t expected = place < order.size() ? order[place] : kNoRow;
    ASSERT_EQ(row_in(boxes, index, offset, n), expected) << "place " << place << " of " << n;
  }
}

TEST(HopperRowBoxes, EveryPlaceHoldsItsRow) {
  for (const std::int32_t n : {1, 7, 8, 63, 64, 65, 300, 512, 1003}) {
    SCOPED_TRACE(n);
    auto reversed = natural(n);
    std::reverse(reversed.begin(), reversed.end());
    for (const auto& order :
         {natural(n), reversed, shuffled(n, 3), residue_classes(n, 8), residue_classes(n, 3, 16),
          residue_classes(n, 2, 5), residue_classes(n, 8, 200), residue_classes(n, 64)}) {
      expect_order(find_row_boxes(order), order);
    }
  }
}

TEST(HopperRowBoxes, NothingOfANaturalOrderIsCopied) {
  for (const std::int32_t n : {1, 64, 100, 1003}) {
    const RowBoxes boxes = find_row_boxes(natural(n));
    EXPECT_EQ(boxes.stride, 1);
    EXPECT_TRUE(boxes.copy.empty()) << n;
    EXPECT_EQ(source(boxes, 0), kWhole);
  }
}

/// Sixteen globals and eight classes of 126: what is copied is the block of the globals, all of it,
/// and the groups across two classes.
TEST(HopperRowBoxes, ClassesAreLoadedWhereTheyLie) {
  const RowBoxes boxes = find_row_boxes(residue_classes(1024, 8, 16));
  EXPECT_EQ(boxes.stride, 8);
  EXPECT_EQ(source(boxes, 0), kWholeCopied);
  EXPECT_EQ(source(boxes, kBoxesOfBlock), kWhole);
  // Classes begin at 16 + 126 c: 142, 268, 394, 646, 772 and 898 are inside a group, 520 is not.
  EXPECT_EQ(source(boxes, 142 / kBoxRows), kCopied);
  EXPECT_EQ(source(boxes, 142 / kBoxRows + 1), kStrided);
  EXPECT_EQ(boxes.copy.size(), 64U + 6U * kBoxRows);
}

/// As in natural order, but for a swap in the middle of a block inside.
TEST(HopperRowBoxes, TheRestOfABlockIsLoadedInGroups) {
  auto order = natural(640);
  std::swap(order[100], order[101]);
  const RowBoxes boxes = find_row_boxes(order);
  EXPECT_EQ(boxes.copy.size(), std::size_t{kBoxRows});
  EXPECT_EQ(source(boxes, 100 / kBoxRows), kCopied);
  EXPECT_EQ(source(boxes, 64 / kBoxRows), kStrided);
  EXPECT_EQ(source(boxes, 0), kWhole);
}

/// Places 840 to 847 hold rows 913, 921, ..., 969, the end of class 1: a progression, but 970 rows
/// are 121 whole rounds of 8, and row 969 stands behind them.
TEST(HopperRowBoxes, RowsBehindTheLastWholeRoundAreCopied) {
  const RowBoxes boxes = find_row_boxes(residue_classes(970, 8));
  EXPECT_NE(std::find(boxes.copy.begin(), boxes.copy.end(), 913), boxes.copy.end());
}

TEST(HopperRowBoxes, WhatDescendsIsCopied) {
  auto order = natural(640);
  std::reverse(order.begin(), order.end());
  EXPECT_EQ(find_row_boxes(order).copy.size(), order.size());
}

}  // namespace
}  // namespace attn::test

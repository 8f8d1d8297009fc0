// SPDX-License-Identifier: Apache-2.0
//
// components, binpack and tree_preorder: the pieces that staircase is made of.
#include <gtest/gtest.h>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

using testing::to_vector;

Pipeline::Result run(const std::string& pipeline, const CsrView& mask) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry)
      .run(mask, {.objective = Objective::tiles({8, 8}), .seed = 1});
}

/// Documents whose tokens see each other.
Csr documents(const std::vector<std::int32_t>& lengths) {
  testing::Entries entries;
  std::int32_t begin = 0;
  for (const std::int32_t length : lengths) {
    for (std::int32_t i = 0; i < length * length; ++i) {
      entries.emplace_back(begin + i / length, begin + i % length);
    }
    begin += length;
  }
  return Csr::from_entries(begin, begin, entries);
}

TEST(Components, ComeOneAfterTheOtherInTheOrderOfTheirFirstTokens) {
  // Tokens 0, 3, 5 are a path, 1 and 4 see each other one way, 2 is alone.
  const testing::Entries entries{{0, 3}, {3, 5}, {4, 1}};
  const auto ordering = run("components", Csr::from_entries(6, 6, entries)).ordering;
  EXPECT_TRUE(ordering.symmetric);
  EXPECT_EQ(to_vector(ordering.rows), (std::vector<std::int32_t>{0, 3, 5, 1, 4, 2}));
}

TEST(Components, OfARectangleAreOfRowsAndColumns) {
  // Rows 0 and 2 share column 3; row 1 sees column 0.
  const testing::Entries entries{{0, 3}, {1, 0}, {2, 3}, {2, 1}};
  const auto ordering = run("components", Csr::from_entries(3, 5, entries)).ordering;
  EXPECT_EQ(to_vector(ordering.rows), (std::vector<std::int32_t>{0, 2, 1}));
  EXPECT_EQ(to_vector(ordering.cols), (std::vector<std::int32_t>{1, 3, 0, 2, 4}));
}

TEST(Components, KeepTheOrderInsideOfEach) {
  const Csr mask = permute(testing::path(20), Ordering::same(testing::random_permutation(20, 1)));
  EXPECT_TRUE(run("components", mask).ordering.rows.is_identity());
  EXPECT_EQ(run("rcm|components", mask).ordering, run("rcm", mask).ordering);
}

TEST(BinPack, PacksDocumentsIntoTiles) {
  // Here the documents of 8 begin in the middle of a tile.
  const auto report = run("binpack", documents({4, 8, 4, 8, 8})).report;
  EXPECT_EQ(report.before.nonempty, 6);
  EXPECT_EQ(report.after.nonempty, 4);
}

TEST(BinPack, KeepsTheOrderInsideOfADocument) {
  const auto ordering = run("binpack", documents({4, 8, 4, 8, 8})).ordering;
  for (std::int32_t place = 1; place < 32; ++place) {
    const std::int32_t token = ordering.rows[place];
    const bool begins = token == 0 || token == 4 || token == 12 || token == 16 || token == 24;
    if (begins) continue;
    EXPECT_EQ(ordering.rows[place - 1], token - 1) << "place " << place;
  }
}

TEST(TreePreorder, WalksTheLargestBranchFirst) {
  //      0        2 has two children, 1 none
  //    1   2
  //       3 4
  const std::vector<std::int32_t> parent{-1, 0, 0, 2, 2};
  testing::Entries entries;
  for (std::int32_t v = 0; v < 5; ++v) {
    for (std::int32_t u = v; u >= 0; u = parent[static_cast<std::size_t>(u)]) {
      entries.emplace_back(v, u);
    }
  }
  const auto order =
      to_vector(run("tree_preorder", Csr::from_entries(5, 5, entries)).ordering.rows);
  EXPECT_EQ(order[0], 0);
  EXPECT_EQ(order[1], 2);
  EXPECT_EQ(order[4], 1);
}

TEST(Staircase, IsTreePreorderAndBinPack) {
  testing::Entries entries;  // causal documents of 4, 8, 4, 8, 8 tokens
  std::int32_t begin = 0;
  for (const std::int32_t length : {4, 8, 4, 8, 8}) {
    for (std::int32_t i = 0; i < length; ++i) {
      for (std::int32_t j = 0; j <= i; ++j) entries.emplace_back(begin + i, begin + j);
    }
    begin += length;
  }
  const Csr mask = permute(Csr::from_entries(32, 32, entries),
                           Ordering::same(testing::random_permutation(32, 2)));
  EXPECT_EQ(run("tree_preorder|binpack", mask).report.after.nonempty, 4);
  EXPECT_EQ(run("staircase", mask).report.after.nonempty, 4);
}

}  // namespace
}  // namespace reorder

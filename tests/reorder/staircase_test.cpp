// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

using testing::to_vector;

Pipeline::Result run(const CsrView& mask) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse("staircase", registry)
      .run(mask, {.objective = Objective::tiles({8, 8}), .seed = 1});
}

/// One document after the other. A token sees the tokens of its document that `sees(i, j)` says,
/// where i and j count from the document's start.
template <typename Sees>
Csr documents(const std::vector<std::int32_t>& lengths, Sees sees) {
  testing::Entries entries;
  std::int32_t begin = 0;
  for (const std::int32_t length : lengths) {
    for (std::int32_t i = 0; i < length; ++i) {
      for (std::int32_t j = 0; j < length; ++j) {
        if (sees(i, j)) entries.emplace_back(begin + i, begin + j);
      }
    }
    begin += length;
  }
  return Csr::from_entries(begin, begin, entries);
}

bool causal(std::int32_t i, std::int32_t j) {
  return j <= i;
}
bool all(std::int32_t, std::int32_t) {
  return true;
}

TEST(Staircase, FindsTheOneOrderOfACausalDocument) {
  const Permutation shuffle = testing::random_permutation(40, 3);
  const Csr mask = permute(documents({40}, causal), Ordering::same(shuffle));
  const auto ordering = run(mask).ordering;
  EXPECT_TRUE(ordering.symmetric);
  EXPECT_EQ(ordering.rows, shuffle.inverse());
}

TEST(Staircase, FindsAWindowWithSinks) {
  // A token sees itself, the token before and the first of all: only one order has keys first.
  const Permutation shuffle = testing::random_permutation(60, 4);
  const auto sees = [](std::int32_t i, std::int32_t j) { return j <= i && (i - j <= 1 || j == 0); };
  const Csr mask = permute(documents({60}, sees), Ordering::same(shuffle));
  EXPECT_EQ(run(mask).ordering.rows, shuffle.inverse());
}

TEST(Staircase, KeepsAPromptThatSeesItselfTogether) {
  const auto sees = [](std::int32_t i, std::int32_t j) { return j <= i || (i < 5 && j < 5); };
  const Permutation shuffle = testing::random_permutation(20, 5);
  const Csr mask = permute(documents({20}, sees), Ordering::same(shuffle));
  const Permutation found = shuffle.then(run(mask).ordering.rows);  // names in the document
  for (std::int32_t place = 0; place < 20; ++place) {
    if (place < 5) {
      EXPECT_LT(found[place], 5) << "place " << place;
    } else {
      EXPECT_EQ(found[place], place);
    }
  }
}

TEST(Staircase, WalksTreesInPreorder) {
  //       0
  //     1   2        3, 4 under 1 and 5, 6 under 2: every token sees its ancestors
  //    3 4 5 6
  const std::vector<std::int32_t> parent{-1, 0, 0, 1, 1, 2, 2};
  testing::Entries entries;
  for (std::int32_t v = 0; v < 7; ++v) {
    for (std::int32_t u = v; u >= 0; u = parent[u]) entries.emplace_back(v, u);
  }
  const Permutation shuffle = testing::random_permutation(7, 6);
  const Csr mask = permute(Csr::from_entries(7, 7, entries), Ordering::same(shuffle));
  const Permutation found = shuffle.then(run(mask).ordering.rows);
  // In preorder a parent is followed by its first child, and leaves by their sibling.
  EXPECT_EQ(found[0], 0);
  for (const std::int32_t place : {1, 4}) {
    EXPECT_EQ(parent[found[place]], 0);
    EXPECT_EQ(parent[found[place + 1]], found[place]);
    EXPECT_EQ(parent[found[place + 2]], found[place]);
  }
}

TEST(Staircase, PacksDocumentsIntoTiles) {
  // In this order a document of 8 begins in the middle of a tile: 2 x 2 tiles, and 2 behind them.
  const Csr mask = documents({4, 8, 4, 8, 8}, all);
  const auto report = run(mask).report;
  EXPECT_EQ(report.before.nonempty, 6);
  EXPECT_EQ(report.after.nonempty, 4);
}

TEST(Staircase, TokensWithoutEntriesComeLast) {
  testing::Entries entries;
  for (std::int32_t i = 2; i < 10; ++i) entries.emplace_back(i, i);
  const auto ordering = run(Csr::from_entries(12, 12, entries)).ordering;
  std::vector<std::int32_t> last{ordering.rows[8], ordering.rows[9], ordering.rows[10],
                                 ordering.rows[11]};
  std::sort(last.begin(), last.end());
  EXPECT_EQ(last, (std::vector<std::int32_t>{0, 1, 10, 11}));
}

}  // namespace
}  // namespace reorder

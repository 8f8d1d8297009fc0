// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

Ordering run(const CsrView& mask, const std::string& pipeline = "double_lexical") {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry).run(mask, {}).ordering;
}

std::vector<std::vector<int>> turned(const std::vector<std::vector<int>>& matrix) {
  std::vector<std::vector<int>> result(matrix.empty() ? 0 : matrix[0].size());
  for (const auto& row : matrix) {
    for (std::size_t j = 0; j < row.size(); ++j) result[j].push_back(row[j]);
  }
  return result;
}

TEST(DoubleLexical, RowsAndColumnsAreSortedAsWords) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    const Csr mask = testing::random_pattern(20, 30, 60 + 10 * static_cast<int>(seed), seed);
    const auto rows = testing::dense(mask, run(mask));
    const auto cols = turned(rows);
    // Larger words first: 1 before 0 at the first place where they differ.
    EXPECT_TRUE(std::is_sorted(rows.rbegin(), rows.rend())) << "rows, seed " << seed;
    EXPECT_TRUE(std::is_sorted(cols.rbegin(), cols.rend())) << "columns, seed " << seed;
  }
}

TEST(DoubleLexical, AStaircaseByHand) {
  //   0 1 2            1 2 0
  // 0 . 1 .          1 1 1 1
  // 1 1 1 1    ->    2 1 1 .
  // 2 . 1 1          0 1 . .
  const testing::Entries entries{{0, 1}, {1, 0}, {1, 1}, {1, 2}, {2, 1}, {2, 2}};
  const Ordering ordering = run(Csr::from_entries(3, 3, entries));
  EXPECT_EQ(testing::to_vector(ordering.rows), (std::vector<std::int32_t>{1, 2, 0}));
  EXPECT_EQ(testing::to_vector(ordering.cols), (std::vector<std::int32_t>{1, 2, 0}));
}

TEST(DoubleLexical, FindsAShuffledCausalDocument) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 40; ++i) {
    for (std::int32_t j = 0; j <= i; ++j) entries.emplace_back(i, j);
  }
  const Csr mask = permute(
      Csr::from_entries(40, 40, entries),
      Ordering{testing::random_permutation(40, 1), testing::random_permutation(40, 2), false});
  const Csr found = permute(mask, run(mask));
  for (std::int32_t i = 0; i < 40; ++i) EXPECT_EQ(found.view().degree(i), 40 - i) << "row " << i;
  EXPECT_EQ(count_tiles(found, {8, 8}).nonempty, 15);  // of 25
}

TEST(DoubleLexical, EqualLinesKeepTheirOrder) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 12; ++i) entries.emplace_back(i, i % 2);
  const Ordering ordering = run(Csr::from_entries(12, 2, entries));
  EXPECT_EQ(testing::to_vector(ordering.rows),
            (std::vector<std::int32_t>{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11}));
}

TEST(DoubleLexical, ASecondTimeNothingMoves) {
  const Csr mask = testing::random_pattern(50, 40, 300, 3);
  const Csr sorted = permute(mask, run(mask));
  EXPECT_TRUE(run(sorted).rows.is_identity());
  EXPECT_TRUE(run(sorted).cols.is_identity());
  EXPECT_EQ(run(mask, "double_lexical(0)"), Ordering::identity(50, 40));
}

}  // namespace
}  // namespace reorder

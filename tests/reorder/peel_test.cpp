// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

using testing::to_vector;

Pipeline::Result run(const std::string& pipeline, const CsrView& mask) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry)
      .run(mask, {.objective = Objective::tiles({.rows = 8, .cols = 8}), .seed = 1});
}

/// A path on n vertices with rows and columns that see, and are seen by, all.
testing::Entries with_globals(std::int32_t n, const std::vector<std::int32_t>& rows,
                              const std::vector<std::int32_t>& cols) {
  testing::Entries entries = testing::path_entries(n);
  for (std::int32_t i = 0; i < n; ++i) {
    for (const std::int32_t row : rows) entries.emplace_back(row, i);
    for (const std::int32_t col : cols) entries.emplace_back(i, col);
  }
  return entries;
}

Csr square(std::int32_t n, const testing::Entries& entries) {
  return Csr::from_entries(n, n, entries);
}

TEST(Peel, PutsHubsFirstAndKeepsTheRest) {
  const Csr mask = square(80, with_globals(80, {30, 50}, {30, 50}));
  const Ordering ordering = run("peel", mask).ordering;
  EXPECT_TRUE(ordering.symmetric);
  std::vector<std::int32_t> expected{30, 50};
  for (std::int32_t i = 0; i < 80; ++i) {
    if (i != 30 && i != 50) expected.push_back(i);
  }
  EXPECT_EQ(to_vector(ordering.rows), expected);
}

TEST(Peel, PutsHubsLastWhenTold) {
  const Csr mask = square(80, with_globals(80, {30, 50}, {30, 50}));
  const Ordering ordering = run("peel(8,1)", mask).ordering;
  EXPECT_TRUE(ordering.symmetric);
  std::vector<std::int32_t> expected;
  for (std::int32_t i = 0; i < 80; ++i) {
    if (i != 30 && i != 50) expected.push_back(i);
  }
  expected.insert(expected.end(), {30, 50});
  EXPECT_EQ(to_vector(ordering.rows), expected);
}

TEST(Peel, LargestHubFirst) {
  testing::Entries entries = with_globals(80, {60}, {60});
  for (std::int32_t j = 0; j < 50; ++j) entries.emplace_back(10, j);
  for (std::int32_t i = 0; i < 50; ++i) entries.emplace_back(i, 10);
  const Ordering ordering = run("peel", square(80, entries)).ordering;
  EXPECT_EQ(ordering.rows[0], 60);
  EXPECT_EQ(ordering.rows[1], 10);
}

TEST(Peel, RowsAndColumnsApart) {
  const Csr mask = square(80, with_globals(80, {30, 50}, {7}));
  const Ordering ordering = run("peel|natural", mask).ordering;
  EXPECT_FALSE(ordering.symmetric);
  EXPECT_EQ(ordering.rows[0], 30);
  EXPECT_EQ(ordering.rows[1], 50);
  EXPECT_EQ(ordering.rows[2], 0);
  EXPECT_EQ(ordering.cols[0], 7);
  EXPECT_EQ(ordering.cols[1], 0);
}

TEST(Peel, EqualNumbersOfDifferentHubsKeepTokensTogether) {
  // What is left is square again: row i and column i must still be one token in it.
  const Csr mask = square(80, with_globals(80, {30}, {7}));
  const Ordering ordering = run("peel|rcm", mask).ordering;
  EXPECT_TRUE(ordering.symmetric);
  EXPECT_EQ(ordering.rows[0], 7);
  EXPECT_EQ(ordering.rows[1], 30);
}

TEST(Peel, NoneWhenHubsAreTheMask) {
  // Ten of 64 lines are more than an eighth.
  const Csr mask = square(64, with_globals(64, {0, 6, 12, 18, 24, 30, 36, 42, 48, 54}, {}));
  EXPECT_TRUE(run("peel", mask).ordering.rows.is_identity());
  // Eight are just an eighth.
  const Csr less = square(64, with_globals(64, {6, 12, 18, 24, 30, 36, 42, 48}, {}));
  EXPECT_EQ(run("peel", less).ordering.rows[0], 6);
}

TEST(Peel, EmptyLinesDoNotCountForTheMedian) {
  // 200 empty rows would make the median 0 and every row a hub.
  const Csr mask = square(280, with_globals(80, {}, {}));
  EXPECT_TRUE(run("peel", mask).ordering.rows.is_identity());
}

TEST(Peel, MakesRcmFindTheBandBehindGlobalTokens) {
  const Csr mask = permute(square(256, with_globals(256, {0, 1}, {0, 1})),
                           Ordering::same(testing::random_permutation(256, 3)));
  const auto plain = run("rcm", mask).report;
  const auto peeled = run("peel|rcm", mask).report;
  // The band shifted by two: 32 diagonal tiles and 2·31 beside, two of them in the first row and
  // column of tiles, which are 32 + 31.
  EXPECT_EQ(peeled.after.nonempty, 32 + 31 + 31 + 2 * 30);
  EXPECT_GT(plain.after.nonempty, 2 * peeled.after.nonempty);
}

TEST(Peel, RectangularMask) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 40; ++i) {
    entries.emplace_back(i, 2 * i);
    entries.emplace_back(i, 79);
  }
  for (std::int32_t j = 0; j < 80; ++j) entries.emplace_back(11, j);
  const Ordering ordering = run("peel|rcm", Csr::from_entries(40, 80, entries)).ordering;
  EXPECT_EQ(ordering.rows[0], 11);
  EXPECT_EQ(ordering.cols[0], 79);
}

}  // namespace
}  // namespace reorder

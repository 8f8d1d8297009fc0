// SPDX-License-Identifier: Apache-2.0
#include "reorder/csr.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "expect_error.hpp"
#include "patterns.hpp"

namespace reorder {
namespace {

using testing::dense;
using testing::expect_error;

std::vector<std::int32_t> row_of(const CsrView& pattern, std::int32_t row) {
  return {pattern.row(row).begin(), pattern.row(row).end()};
}

Csr unchecked(std::int32_t n_rows, std::int32_t n_cols, std::vector<std::int64_t> offsets,
              std::vector<std::int32_t> cols) {
  return {n_rows, n_cols, std::move(offsets), std::move(cols)};
}

TEST(Csr, EmptyPatternIsWellFormed) {
  const Csr empty;
  EXPECT_NO_THROW(validate(empty));
  EXPECT_EQ(empty.nnz(), 0);
  EXPECT_NO_THROW(unchecked(2, 3, {0, 0, 0}, {}));
}

TEST(Csr, ReportsWhatIsWrong) {
  const auto invalid = ErrorCode::invalid_pattern;
  expect_error(invalid, "needs 3 row offsets, but there are 2", [] {
    unchecked(2, 2, {0, 1}, {0});
  });
  expect_error(invalid, "start at 1, not at 0", [] { unchecked(1, 2, {1, 1}, {0}); });
  expect_error(invalid, "fall from 2 to 1 at row 1", [] { unchecked(2, 2, {0, 2, 1}, {0}); });
  expect_error(invalid, "end at 3, but there are 2 column indices", [] {
    unchecked(1, 4, {0, 3}, {0, 1});
  });
  expect_error(invalid, "row 1 has column 2, outside [0, 2)", [] {
    unchecked(2, 2, {0, 1, 2}, {0, 2});
  });
  expect_error(invalid, "column -1, outside", [] { unchecked(1, 2, {0, 1}, {-1}); });
  expect_error(invalid, "column 0 after column 1", [] { unchecked(1, 2, {0, 2}, {1, 0}); });
  expect_error(invalid, "column 1 after column 1", [] { unchecked(1, 2, {0, 2}, {1, 1}); });
  expect_error(invalid, "-1 rows", [] { unchecked(-1, 2, {0}, {}); });
  // The middle offset points far outside the indices although the last one is right.
  expect_error(invalid, "fall from 99 to 1", [] { unchecked(2, 2, {0, 99, 1}, {0}); });
}

TEST(Csr, FromEntriesSortsAndMerges) {
  const testing::Entries entries{{1, 2}, {0, 1}, {1, 0}, {1, 2}, {0, 1}, {1, 1}};
  const Csr csr = Csr::from_entries(3, 3, entries);
  EXPECT_EQ(row_of(csr, 0), (std::vector<std::int32_t>{1}));
  EXPECT_EQ(row_of(csr, 1), (std::vector<std::int32_t>{0, 1, 2}));
  EXPECT_EQ(row_of(csr, 2), (std::vector<std::int32_t>{}));
  expect_error(ErrorCode::invalid_pattern, "entry (0, 3) lies outside a pattern of 3 x 3", [] {
    (void)Csr::from_entries(3, 3, testing::Entries{{0, 3}});
  });
}

TEST(Csr, TransposeMatchesDense) {
  const Csr a = testing::random_pattern(7, 5, 20, 1);
  const Csr t = transpose(a);
  ASSERT_NO_THROW(validate(t));
  const auto da = dense(a);
  const auto dt = dense(t);
  for (std::size_t i = 0; i < 7; ++i) {
    for (std::size_t j = 0; j < 5; ++j) EXPECT_EQ(da[i][j], dt[j][i]) << i << ", " << j;
  }
}

TEST(Csr, TransposesRowsWithoutGaps) {
  // Blocks of 64 rows: a band, a full one, one with an empty row, one with a gap, one whose runs
  // lie far apart, and a last one that is not whole.
  testing::Entries entries;
  testing::Entries turned;
  for (std::int32_t i = 0; i < 350; ++i) {
    const bool apart = i >= 256 && i < 320;
    const std::int32_t begin = i < 64 || i >= 320 ? std::max(0, i - 9) : apart ? 5 * (i - 256) : 0;
    const std::int32_t end = i < 64 || apart ? begin + 12 : 350;
    for (std::int32_t j = begin; j < end; ++j) {
      if (i == 150 || (i == 200 && j == 77)) continue;
      entries.emplace_back(i, j);
      turned.emplace_back(j, i);
    }
  }
  const Csr a = Csr::from_entries(350, 350, entries);
  const Csr t = transpose(a);
  const Csr expected = Csr::from_entries(350, 350, turned);
  EXPECT_TRUE(std::ranges::equal(t.view().row_offsets, expected.view().row_offsets));
  EXPECT_TRUE(std::ranges::equal(t.view().col_indices, expected.view().col_indices));
}

TEST(Csr, IsSymmetric) {
  EXPECT_TRUE(is_symmetric(testing::grid(3, 4)));
  EXPECT_TRUE(is_symmetric(Csr()));
  EXPECT_FALSE(is_symmetric(Csr::from_entries(2, 3, testing::Entries{{0, 1}, {1, 0}})));
  EXPECT_FALSE(is_symmetric(Csr::from_entries(3, 3, testing::Entries{{0, 1}})));
  EXPECT_FALSE(is_symmetric(Csr::from_entries(3, 3, testing::Entries{{2, 0}})));
  // As many entries above as below, but not the mirrored ones.
  EXPECT_FALSE(is_symmetric(Csr::from_entries(3, 3, testing::Entries{{0, 1}, {2, 0}})));
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    const Csr a = testing::random_pattern(4, 4, 5, seed);
    EXPECT_EQ(is_symmetric(a), dense(a) == dense(transpose(a))) << "seed " << seed;
  }
}

TEST(Csr, SymmetrizeMatchesDense) {
  for (const Diagonal diagonal : {Diagonal::keep, Diagonal::drop, Diagonal::fill}) {
    for (std::uint32_t seed = 0; seed < 10; ++seed) {
      const Csr a = testing::random_pattern(6, 6, 9, seed);
      const Csr s = symmetrize(a, diagonal);
      ASSERT_NO_THROW(validate(s));
      const auto da = dense(a);
      const auto ds = dense(s);
      for (std::size_t i = 0; i < 6; ++i) {
        for (std::size_t j = 0; j < 6; ++j) {
          int expected = da[i][j] | da[j][i];
          if (i == j && diagonal == Diagonal::drop) expected = 0;
          if (i == j && diagonal == Diagonal::fill) expected = 1;
          EXPECT_EQ(ds[i][j], expected)
              << i << ", " << j << " diagonal " << static_cast<int>(diagonal) << " seed " << seed;
        }
      }
    }
  }
  expect_error(ErrorCode::invalid_argument, "needs a square pattern, but this one is 2 x 3",
               [] { (void)symmetrize(Csr::from_entries(2, 3, {}), Diagonal::keep); });
}

TEST(Csr, BipartiteGraph) {
  const Csr g = bipartite_graph(Csr::from_entries(2, 3, testing::Entries{{0, 0}, {0, 2}, {1, 2}}));
  ASSERT_NO_THROW(validate(g));
  EXPECT_TRUE(is_symmetric(g));
  ASSERT_EQ(g.n_rows(), 5);
  EXPECT_EQ(row_of(g, 0), (std::vector<std::int32_t>{2, 4}));
  EXPECT_EQ(row_of(g, 1), (std::vector<std::int32_t>{4}));
  EXPECT_EQ(row_of(g, 3), (std::vector<std::int32_t>{}));
  EXPECT_EQ(row_of(g, 4), (std::vector<std::int32_t>{0, 1}));
}

TEST(Csr, BipartiteGraphRefusesTooManyVertices) {
  // No memory for it is needed: the pattern has two rows and very many empty columns.
  const std::vector<std::int64_t> offsets{0, 0, 0};
  const CsrView wide{2, 2147483647, offsets, {}};
  expect_error(ErrorCode::too_large, "has 2147483649 vertices; the limit is 2147483647",
               [&] { (void)bipartite_graph(wide); });
}

TEST(Csr, PermuteMatchesItsDefinitionAndSortsAgain) {
  for (std::uint32_t seed = 0; seed < 10; ++seed) {
    const Csr a = testing::random_pattern(9, 6, 25, seed);
    const Ordering ordering{testing::random_permutation(9, seed),
                            testing::random_permutation(6, seed + 1), false};
    const Csr p = permute(a, ordering);
    ASSERT_NO_THROW(validate(p));
    EXPECT_EQ(dense(p), dense(a, ordering)) << "seed " << seed;
  }
  expect_error(ErrorCode::invalid_argument,
               "an ordering of 2 rows and 2 columns does not fit a pattern of 3 x 3",
               [] { (void)permute(testing::path(3), Ordering::identity(2, 2)); });
}

}  // namespace
}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

Pipeline::Result run(const std::string& pipeline, const CsrView& mask, Tile tile) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry)
      .run(mask, {.objective = Objective::tiles(tile), .seed = 1});
}

Ordering random_ordering(std::int32_t n_rows, std::int32_t n_cols) {
  return {testing::random_permutation(n_rows, 5), testing::random_permutation(n_cols, 6), false};
}

TEST(BipartiteRcm, RecoversACausalStaircase) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 64; ++i) {
    for (std::int32_t j = 0; j <= i; ++j) entries.emplace_back(i, j);
  }
  const Csr mask = permute(Csr::from_entries(64, 64, entries), random_ordering(64, 64));
  const auto report = run("bipartite_rcm", mask, {8, 8}).report;
  EXPECT_EQ(report.before.nonempty, 64);
  EXPECT_EQ(report.after.nonempty, 36);  // 8 · 9 / 2
}

TEST(BipartiteRcm, RecoversABandOfARectangularMask) {
  // Row i sees columns 2i, 2i + 1 and 2i + 2: a path through all rows and columns.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 32; ++i) {
    for (std::int32_t j = 2 * i; j <= 2 * i + 2; ++j) entries.emplace_back(i, j);
  }
  const Csr mask = permute(Csr::from_entries(32, 65, entries), random_ordering(32, 65));
  const auto ordering = run("bipartite_rcm", mask, {8, 16}).ordering;
  // Consecutive rows share a column, and no others do.
  const auto matrix = testing::dense(mask, ordering);
  for (std::size_t i = 0; i < 32; ++i) {
    for (std::size_t k = i + 1; k < 32; ++k) {
      int shared = 0;
      for (std::size_t j = 0; j < 65; ++j) shared += matrix[i][j] * matrix[k][j];
      EXPECT_EQ(shared, k == i + 1 ? 1 : 0) << "rows " << i << " and " << k;
    }
  }
}

TEST(BipartiteRcm, ComponentsStayApart) {
  // Two dense blocks of 8 x 4, a row that sees nothing and a column that nothing sees.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 16; ++i) {
    for (std::int32_t j = 0; j < 4; ++j) entries.emplace_back(i, i / 8 * 4 + j);
  }
  const Csr mask = permute(Csr::from_entries(17, 9, entries), random_ordering(17, 9));
  const auto report = run("bipartite_rcm", mask, {8, 4}).report;
  EXPECT_EQ(report.after.nonempty, 2);
  EXPECT_EQ(report.after.full, 2);
}

TEST(BipartiteRcm, BehindPeelAndSignatureFindsDocumentsAndWindow) {
  // A window of two tokens to either side, and two tokens that see and are seen by all.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 256; ++i) {
    for (std::int32_t j = 0; j < 256; ++j) {
      if (i < 2 || j < 2 || (i - j <= 2 && j - i <= 2)) entries.emplace_back(i, j);
    }
  }
  const Csr natural = Csr::from_entries(256, 256, entries);
  const Csr mask = permute(natural, Ordering::same(testing::random_permutation(256, 4)));
  const auto report = run("peel|signature|bipartite_rcm", mask, {8, 8}).report;
  EXPECT_EQ(report.after.nonempty, count_tiles(natural, {8, 8}).nonempty);
  EXPECT_GT(report.before.nonempty, 3 * report.after.nonempty);
}

}  // namespace
}  // namespace reorder

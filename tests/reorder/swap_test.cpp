// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

Pipeline::Result run(const std::string& pipeline, const CsrView& mask, const Objective& objective,
                     int threads = 1, std::uint64_t seed = 1) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry)
      .run(mask, {.objective = objective, .seed = seed, .threads = threads});
}

/// Dense blocks of 8 x 8 along the diagonal.
Csr blocks(std::int32_t n) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < n; ++i) {
    for (std::int32_t j = i / 8 * 8; j < i / 8 * 8 + 8; ++j) entries.emplace_back(i, j);
  }
  return Csr::from_entries(n, n, entries);
}

TEST(Swap, BringsStraysHome) {
  // Row 3 belongs to block 0 and row 60 to block 7; each stands in the other's place. So do
  // columns 10 and 42. Two of eight row tiles touch two column tiles, and two column tiles are
  // touched by a second row tile.
  std::vector<std::int32_t> rows(64);
  std::vector<std::int32_t> cols(64);
  for (std::int32_t i = 0; i < 64; ++i) rows[i] = cols[i] = i;
  std::swap(rows[3], rows[60]);
  std::swap(cols[10], cols[42]);
  const Csr mask = permute(blocks(64), {Permutation(rows), Permutation(cols), false});
  const auto report = run("swap", mask, Objective::tiles({8, 8})).report;
  EXPECT_EQ(report.before.nonempty, 8 + 2 + 2);
  EXPECT_EQ(report.after.nonempty, 8);
  EXPECT_EQ(report.after.full, 8);
}

TEST(Swap, ArrangesPartsWithinTheirTiles) {
  // Two blocks of 8 x 8 a tile of 16 x 16. Rows 3 and 12 change places within a tile, columns 34
  // and 45 too, rows 20 and 70 between two of them: as tiles alone only the last costs anything.
  std::vector<std::int32_t> rows(128);
  std::vector<std::int32_t> cols(128);
  for (std::int32_t i = 0; i < 128; ++i) rows[i] = cols[i] = i;
  std::swap(rows[3], rows[12]);
  std::swap(rows[20], rows[70]);
  std::swap(cols[34], cols[45]);
  const Csr mask = permute(blocks(128), {Permutation(rows), Permutation(cols), false});
  const Objective parts =
      parse_objective("cost_model{16,16,t_full=1,t_partial=1,part_rows=8,part_cols=8,t_tile=2}");
  const Ordering natural = Ordering::identity(128, 128);
  EXPECT_EQ(evaluate(parts, mask, natural), 2 * (8 + 2) + (16 + 2 + 2 + 2));
  const auto result = run("swap", mask, parts);
  EXPECT_EQ(evaluate(parts, mask, result.ordering), 2 * 8 + 16);
}

TEST(Swap, KeepsWhatCannotBeBetter) {
  const auto result = run("swap", blocks(64), Objective::tiles({8, 8}));
  EXPECT_TRUE(result.ordering.rows.is_identity());
  EXPECT_TRUE(result.ordering.cols.is_identity());
}

TEST(Swap, FillsARaggedEdge) {
  // 20 = 8 + 8 + 4: the last tile takes four rows, and just the last block has four.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 20; ++i) {
    for (std::int32_t j = i / 8 * 8; j < std::min(i / 8 * 8 + 8, 20); ++j) {
      entries.emplace_back(i, j);
    }
  }
  std::vector<std::int32_t> rows(20);
  for (std::int32_t i = 0; i < 20; ++i) rows[i] = i;
  std::swap(rows[0], rows[17]);
  std::swap(rows[9], rows[18]);
  const Csr mask = permute(Csr::from_entries(20, 20, entries),
                           {Permutation(rows), Permutation::identity(20), false});
  EXPECT_EQ(run("swap", mask, Objective::tiles({8, 8})).report.after.nonempty, 3);
}

TEST(Swap, GroupsSparseRandomMasksBetterThanLibraries) {
  const Csr mask = testing::random_pattern(512, 512, 700, 11);
  const Objective objective = Objective::tiles({16, 16});
  const auto report = run("rcm|swap", mask, objective).report;
  ASSERT_EQ(report.stages.size(), 2U);
  EXPECT_LT(report.after.nonempty, 0.8 * static_cast<double>(report.stages[0].tiles->nonempty));
}

class SwapObjective : public ::testing::TestWithParam<const char*> {};

TEST_P(SwapObjective, NeverWorseAndTheSameForAnyNumberOfThreads) {
  const Objective objective = parse_objective(GetParam());
  for (const std::uint32_t seed : {1U, 2U, 3U}) {
    const Csr mask = testing::random_pattern(330, 270, 1500, seed);
    const auto one = run("swap(2)", mask, objective, 1, seed);
    EXPECT_LE(evaluate(objective, mask, one.ordering),
              evaluate(objective, mask, Ordering::identity(330, 270)))
        << "pattern seed " << seed;
    for (const int threads : {2, 8}) {
      EXPECT_EQ(run("swap(2)", mask, objective, threads, seed).ordering, one.ordering)
          << "pattern seed " << seed << ", " << threads << " threads";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Objectives, SwapObjective,
                         ::testing::Values("tiles{16,8}", "gather{16,8}",
                                           "tiles_min{16,16,theta=4,lambda=0.1}",
                                           "cost_model{8,8,t_full=1,t_partial=1.5,t_row=2}"));

TEST(Swap, GatherMovesRowsAlone) {
  const Csr mask = permute(blocks(64), Ordering{testing::random_permutation(64, 2),
                                                testing::random_permutation(64, 3), false});
  const Objective objective{.kind = Objective::Kind::gather, .tile = {8, 8}};
  const auto result = run("swap", mask, objective);
  EXPECT_TRUE(result.ordering.cols.is_identity());
  EXPECT_LT(evaluate(objective, mask, result.ordering),
            evaluate(objective, mask, Ordering::identity(64, 64)));
}

TEST(Swap, SplitObjectiveKeepsNoiseOutOfDenseTiles) {
  // Blocks with two strays and one entry of noise in each row. The eight blocks are dense tiles;
  // the noise cannot be packed and costs 0.01 an entry wherever it is.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 64; ++i) {
    for (std::int32_t j = i / 8 * 8; j < i / 8 * 8 + 8; ++j) entries.emplace_back(i, j);
    entries.emplace_back(i, (i * 29 + 11) % 64);
  }
  std::vector<std::int32_t> rows(64);
  for (std::int32_t i = 0; i < 64; ++i) rows[i] = i;
  std::swap(rows[3], rows[60]);
  const Csr mask = permute(Csr::from_entries(64, 64, entries),
                           {Permutation(rows), Permutation::identity(64), false});
  const Objective objective = parse_objective("tiles_min{8,8,theta=16,lambda=0.01}");
  const double value = evaluate(objective, mask, run("swap", mask, objective).ordering);
  EXPECT_GE(value, 8);
  EXPECT_LE(value, 8 + 0.64);
}

}  // namespace
}  // namespace reorder

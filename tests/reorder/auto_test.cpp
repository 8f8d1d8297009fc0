// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

Pipeline::Result run(const std::string& pipeline, const CsrView& mask, int threads = 1,
                     Tile tile = {8, 8}) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry)
      .run(mask, {.objective = Objective::tiles(tile),
                  .seed = 1,
                  .threads = threads,
                  .budget = {.work = 50'000'000}});
}

TEST(Auto, LeavesAMaskAloneThatCannotGain) {
  testing::Entries entries;  // dense blocks, each a tile
  for (std::int32_t i = 0; i < 64; ++i) {
    for (std::int32_t j = i / 8 * 8; j < i / 8 * 8 + 8; ++j) entries.emplace_back(i, j);
  }
  const auto result = run("auto", Csr::from_entries(64, 64, entries));
  EXPECT_TRUE(result.ordering.rows.is_identity());
  EXPECT_TRUE(result.ordering.symmetric);
  ASSERT_FALSE(result.report.candidates.empty());
  EXPECT_EQ(result.report.candidates[0].pipeline, "natural");
  EXPECT_TRUE(result.report.candidates[0].chosen);
}

TEST(Auto, FindsAShuffledDocumentAndPrefersOneOrderForBothSides) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 64; ++i) {
    for (std::int32_t j = 0; j <= i; ++j) entries.emplace_back(i, j);
  }
  const Csr mask = permute(Csr::from_entries(64, 64, entries),
                           Ordering::same(testing::random_permutation(64, 2)));
  const auto result = run("auto", mask);
  EXPECT_EQ(result.report.after.nonempty, 36);  // 8 · 9 / 2
  EXPECT_TRUE(result.ordering.symmetric);
}

TEST(Auto, FindsABandBehindGlobalTokens) {
  testing::Entries entries = testing::path_entries(256);
  for (std::int32_t i = 0; i < 256; ++i) {
    entries.emplace_back(0, i);
    entries.emplace_back(i, 0);
  }
  const Csr natural = Csr::from_entries(256, 256, entries);
  const Csr mask = permute(natural, Ordering::same(testing::random_permutation(256, 3)));
  EXPECT_LE(run("auto", mask).report.after.nonempty, count_tiles(natural, {8, 8}).nonempty);
}

TEST(Auto, ReportsWhatItTriedAndOneChoice) {
  const auto report = run("auto", testing::random_pattern(200, 120, 900, 4)).report;
  EXPECT_GE(report.candidates.size(), 3U);
  EXPECT_EQ(std::count_if(report.candidates.begin(), report.candidates.end(),
                          [](const CandidateReport& c) { return c.chosen; }),
            1);
  for (const CandidateReport& candidate : report.candidates) {
    if (candidate.chosen) {
      EXPECT_EQ(candidate.objective, report.after.nonempty) << candidate.pipeline;
    }
  }
}

TEST(Auto, ASmallBudgetTriesLess) {
  const Csr mask = testing::random_pattern(400, 400, 3000, 5);
  const auto none = run("auto(work=1)", mask).report;
  EXPECT_EQ(none.after.nonempty, none.before.nonempty);
  for (std::size_t i = 1; i < none.candidates.size(); ++i) {
    EXPECT_NE(none.candidates[i].error, "") << none.candidates[i].pipeline;
  }
  EXPECT_LT(run("auto", mask).report.after.nonempty, none.after.nonempty);
}

/// A band, shuffled: any ordering of it gains much.
Csr shuffled_band(std::int32_t n) {
  return permute(testing::path(n), Ordering::same(testing::random_permutation(n, 3)));
}

Pipeline::Result run_for(const std::string& objective, const CsrView& mask) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse("auto", registry)
      .run(mask, {.objective = parse_objective(objective), .seed = 1});
}

TEST(Auto, DoesNotReorderWhereMovingRowsCostsMoreThanItSaves) {
  const Csr mask = shuffled_band(256);
  const auto cheap = run_for("cost_model{8,8,t_full=1,t_partial=1,t_gather=0.1}", mask);
  EXPECT_FALSE(cheap.ordering.rows.is_identity());
  const auto dear = run_for("cost_model{8,8,t_full=1,t_partial=1,t_gather=10}", mask);
  EXPECT_TRUE(dear.ordering.rows.is_identity());
  EXPECT_TRUE(dear.ordering.cols.is_identity());
  const std::string& reason = dear.report.choice->reason;
  EXPECT_NE(reason.find("do not reorder"), std::string::npos) << reason;
  EXPECT_NE(reason.find("moving rows costs"), std::string::npos) << reason;
}

TEST(Auto, RowsInBoxesCostNoMoves) {
  // A dilated window: its two residue classes are progressions, and their order is worth the moves
  // only where those are free.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 256; ++i) {
    for (std::int32_t j = std::max(0, i - 8); j < std::min(256, i + 10); j += 2) {
      if ((i - j) % 2 == 0) entries.emplace_back(i, j);
    }
  }
  const Csr mask = Csr::from_entries(256, 256, entries);
  const auto stays = run_for("cost_model{16,16,t_full=1,t_partial=1,t_gather=1}", mask);
  EXPECT_TRUE(stays.ordering.rows.is_identity());
  const auto moves = run_for("cost_model{16,16,t_full=1,t_partial=1,t_gather=1,box=8}", mask);
  EXPECT_FALSE(moves.ordering.rows.is_identity());
  EXPECT_LT(moves.report.after.nonempty, moves.report.before.nonempty);
}

TEST(Auto, SaysWhatItSawAndWhyItChose) {
  const auto report = run("auto", shuffled_band(256)).report;
  ASSERT_TRUE(report.choice);
  EXPECT_TRUE(report.choice->features.symmetric);
  EXPECT_EQ(report.choice->features.components, 1);
  EXPECT_NE(report.choice->reason.find("lowest objective"), std::string::npos)
      << report.choice->reason;
  testing::Entries diagonal;
  for (std::int32_t i = 0; i < 64; ++i) diagonal.emplace_back(i, i);
  const auto nothing_to_gain = run("auto", Csr::from_entries(64, 64, diagonal)).report;
  EXPECT_NE(nothing_to_gain.choice->reason.find("within 1% of the lower bound"), std::string::npos)
      << nothing_to_gain.choice->reason;
}

/// Queries see keys behind them, so `staircase` lays both residue classes out from their end.
TEST(Auto, AnOrderThatCouldDescendRises) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 256; ++i) {
    for (std::int32_t j = i; j < std::min(256, i + 10); j += 2) entries.emplace_back(i, j);
  }
  const auto result = run("auto", Csr::from_entries(256, 256, entries));
  EXPECT_LT(result.report.after.nonempty, result.report.before.nonempty);
  std::int32_t falls = 0;
  for (std::int32_t i = 1; i < 256; ++i)
    falls += result.ordering.rows[i] < result.ordering.rows[i - 1];
  EXPECT_EQ(falls, 1);
}

TEST(Auto, WorkAndSeedAloneDecide) {
  for (const std::uint32_t seed : {1U, 2U}) {
    const Csr mask = testing::random_pattern(300, 300, 2000, seed);
    const Ordering one = run("auto(work=40000000)", mask, 1).ordering;
    EXPECT_EQ(run("auto(work=40000000)", mask, 2).ordering, one) << "pattern seed " << seed;
    EXPECT_EQ(run("auto(work=40000000)", mask, 8).ordering, one) << "pattern seed " << seed;
  }
}

}  // namespace
}  // namespace reorder

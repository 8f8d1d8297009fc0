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

/// 16 blocks of 4 rows and 16 of 4 columns. Row block r sees the column blocks r and r + 8 (mod
/// 16), so that it is like row block r + 8 and like no other.
Csr pairs_far_apart() {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 64; ++i) {
    for (const std::int32_t block : {i / 4, (i / 4 + 8) % 16}) {
      for (std::int32_t j = 4 * block; j < 4 * block + 4; ++j) entries.emplace_back(i, j);
    }
  }
  return Csr::from_entries(64, 64, entries);
}

TEST(Anneal, PutsLikeBundlesIntoOneTileOnBothSides) {
  // Tiles of 8 x 8 hold two blocks a side. In order, row tile I sees the column tiles I and I + 4;
  // with the like ones together each of 8 row tiles sees one.
  const auto report = run("anneal", pairs_far_apart(), Objective::tiles({8, 8})).report;
  EXPECT_EQ(report.before.nonempty, 16);
  EXPECT_EQ(report.after.nonempty, 8);
  EXPECT_EQ(report.after.full, 8);
}

TEST(Anneal, KeepsBundlesTogether) {
  const auto ordering = run("anneal", pairs_far_apart(), Objective::tiles({8, 8})).ordering;
  for (std::int32_t place = 0; place < 64; ++place) {
    EXPECT_EQ(ordering.rows[place], ordering.rows[place / 4 * 4] + place % 4) << place;
    EXPECT_EQ(ordering.cols[place], ordering.cols[place / 4 * 4] + place % 4) << place;
  }
}

TEST(Anneal, MovesRowsAloneForGatheredKeys) {
  // 16 keys, two tiles, for each row tile in order; 8 once the like ones are together.
  const Objective gather{.kind = Objective::Kind::gather, .tile = {8, 8}};
  const Csr mask = pairs_far_apart();
  EXPECT_EQ(evaluate(gather, mask, Ordering::identity(64, 64)), 16);
  const auto ordering = run("anneal", mask, gather).ordering;
  EXPECT_TRUE(ordering.cols.is_identity());
  EXPECT_EQ(evaluate(gather, mask, ordering), 8);
}

TEST(Anneal, AShorterBundleAtTheEndStaysThere) {
  const Csr mask = testing::random_pattern(30, 45, 200, 3);
  const auto ordering = run("anneal(4)", mask, Objective::tiles({8, 8})).ordering;
  EXPECT_EQ(ordering.cols[44], 44);  // 45 = 22 · 2 + 1
  const auto thirds = run("anneal(3)", mask, Objective::tiles({8, 8})).ordering;
  for (std::int32_t place = 0; place < 28; place += 4) {  // 3 does not divide 8, 2 does
    EXPECT_EQ(thirds.rows[place] + 3, thirds.rows[place + 3]) << place;
  }
}

TEST(Anneal, IsNeverWorse) {
  for (std::uint32_t seed = 1; seed <= 8; ++seed) {
    const Csr mask = testing::random_pattern(60, 70, 300, seed);
    for (const Objective& objective :
         {Objective::tiles({8, 8}), Objective{.kind = Objective::Kind::gather, .tile = {8, 4}},
          Objective{.kind = Objective::Kind::tiles_min, .tile = {8, 8}, .theta = 3, .lambda = 0.2},
          Objective{.kind = Objective::Kind::cost_model, .tile = {8, 8}, .t_full = 0.5}}) {
      const auto ordering = run("anneal(8,50,2,2)", mask, objective, 1, seed).ordering;
      EXPECT_LE(evaluate(objective, mask, ordering),
                evaluate(objective, mask, Ordering::identity(60, 70)))
          << "seed " << seed << ", " << to_string(objective);
    }
  }
}

TEST(Anneal, NoMovesNoChange) {
  EXPECT_EQ(run("anneal(2,0)", pairs_far_apart(), Objective::tiles({8, 8})).ordering,
            Ordering::identity(64, 64));
}

TEST(Anneal, ThreadsAreNoMatterAndSeedsAre) {
  const Csr mask = testing::random_pattern(64, 64, 300, 5);
  const Objective tiles = Objective::tiles({8, 8});
  const Ordering one = run("anneal(8,20)", mask, tiles).ordering;
  EXPECT_EQ(run("anneal(8,20)", mask, tiles, 2).ordering, one);
  EXPECT_EQ(run("anneal(8,20)", mask, tiles, 8).ordering, one);
  EXPECT_NE(run("anneal(8,20)", mask, tiles, 1, 2).ordering, one);
}

}  // namespace
}  // namespace reorder

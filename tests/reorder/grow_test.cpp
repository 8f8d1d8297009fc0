// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

Pipeline::Result run(const CsrView& mask, Tile tile) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse("grow", registry)
      .run(mask, {.objective = Objective::tiles(tile), .seed = 1});
}

/// Topics of `rows` x `cols` along the diagonal; every entry but each third is there.
Csr topics(std::int32_t n_topics, std::int32_t rows, std::int32_t cols) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < n_topics * rows; ++i) {
    for (std::int32_t j = i / rows * cols; j < (i / rows + 1) * cols; ++j) {
      if ((i + j) % 3 != 0) entries.emplace_back(i, j);
    }
  }
  return Csr::from_entries(n_topics * rows, n_topics * cols, entries);
}

TEST(Grow, GathersSimilarRowsAndTheColumnsThatTheySee) {
  const Csr mask = permute(topics(6, 8, 16), Ordering{testing::random_permutation(48, 1),
                                                      testing::random_permutation(96, 2), false});
  const auto report = run(mask, {8, 16}).report;
  EXPECT_EQ(report.before.nonempty, 36);
  EXPECT_EQ(report.after.nonempty, 6);
}

TEST(Grow, IsNotLedAstrayByHubs) {
  testing::Entries entries;
  const Csr plain = topics(6, 8, 16);
  for (std::int32_t i = 0; i < 48; ++i) {
    for (const std::int32_t j : plain.view().row(i)) entries.emplace_back(i, j);
    entries.emplace_back(i, 96);
  }
  const Csr mask = permute(
      Csr::from_entries(48, 97, entries),
      Ordering{testing::random_permutation(48, 3), testing::random_permutation(97, 4), false});
  // The column that all rows see takes a place among the others' and pushes one of them out of its
  // tile in the worst case for each tile behind it; rows must still be grouped by topics.
  const Objective gather{.kind = Objective::Kind::gather, .tile = {8, 17}};
  EXPECT_EQ(evaluate(gather, mask, run(mask, {8, 17}).ordering), 6);
}

TEST(Grow, FollowsABand) {
  const Csr mask = permute(testing::path(64), Ordering::same(testing::random_permutation(64, 5)));
  // A path in one piece takes 8 + 2 · 7 tiles; a group may start in the middle and leave two ends.
  EXPECT_LE(run(mask, {8, 8}).report.after.nonempty, 2 * (8 + 2 * 7));
}

}  // namespace
}  // namespace reorder

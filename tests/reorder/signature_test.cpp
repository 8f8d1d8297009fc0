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

TEST(Signature, PutsEqualRowsAndEqualColumnsTogether) {
  // . x . x
  // x . x .
  // . x . x
  // x . x x
  const Csr mask = Csr::from_entries(
      4, 4,
      testing::Entries{{0, 1}, {0, 3}, {1, 0}, {1, 2}, {2, 1}, {2, 3}, {3, 0}, {3, 2}, {3, 3}});
  const Ordering ordering = run("signature", mask).ordering;
  EXPECT_EQ(to_vector(ordering.rows), (std::vector<std::int32_t>{0, 2, 1, 3}));
  EXPECT_EQ(to_vector(ordering.cols), (std::vector<std::int32_t>{0, 2, 1, 3}));
}

TEST(Signature, LeavesAMaskOfDifferentLinesAlone) {
  const Ordering ordering = run("signature", testing::path(20)).ordering;
  EXPECT_TRUE(ordering.rows.is_identity());
  EXPECT_TRUE(ordering.cols.is_identity());
}

TEST(Signature, EmptyLinesAreEqual) {
  const Csr mask = Csr::from_entries(4, 3, testing::Entries{{1, 1}, {3, 1}});
  const Ordering ordering = run("signature", mask).ordering;
  EXPECT_EQ(to_vector(ordering.rows), (std::vector<std::int32_t>{0, 2, 1, 3}));
  EXPECT_EQ(to_vector(ordering.cols), (std::vector<std::int32_t>{0, 2, 1}));
}

/// Four documents of eight tokens that see all of their own document.
Csr shuffled_documents() {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 32; ++i) {
    for (std::int32_t j = 0; j < 32; ++j) {
      if (i / 8 == j / 8) entries.emplace_back(i, j);
    }
  }
  return permute(Csr::from_entries(32, 32, entries),
                 Ordering::same(testing::random_permutation(32, 7)));
}

TEST(Signature, AloneRecoversDocuments) {
  const auto result = run("signature", shuffled_documents());
  EXPECT_EQ(result.report.before.nonempty, 16);
  EXPECT_EQ(result.report.after.nonempty, 4);
  EXPECT_EQ(result.report.after.full, 4);
  EXPECT_TRUE(result.ordering.symmetric);
}

TEST(Signature, TheNextStageSeesOneLineForEachClass) {
  // Four representatives without a path between them: random mixes them, but not their members.
  const auto result = run("signature|random", shuffled_documents());
  EXPECT_EQ(result.report.after.nonempty, 4);
  EXPECT_TRUE(result.ordering.symmetric);
}

}  // namespace
}  // namespace reorder

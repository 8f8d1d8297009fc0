// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

Pipeline::Result run(const CsrView& mask, std::uint64_t seed = 1, int threads = 1) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse("minhash", registry)
      .run(mask, {.objective = Objective::tiles({16, 16}), .seed = seed, .threads = threads});
}

TEST(MinHash, EqualRowsAndColumnsStandSideBySide) {
  // Row i sees the keys of class i % 5; a class has three keys.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 40; ++i) {
    for (const std::int32_t j : {i % 5, i % 5 + 5, i % 5 + 10}) entries.emplace_back(i, j);
  }
  const Ordering ordering = run(Csr::from_entries(40, 15, entries)).ordering;
  for (std::int32_t place = 0; place < 40; ++place) {
    EXPECT_EQ(ordering.rows[place] % 5, ordering.rows[place / 8 * 8] % 5) << "place " << place;
  }
  for (std::int32_t place = 0; place < 15; ++place) {
    EXPECT_EQ(ordering.cols[place] % 5, ordering.cols[place / 3 * 3] % 5) << "place " << place;
  }
}

TEST(MinHash, FindsBlocksOfRowsThatAreNearlyEqual) {
  // Eight blocks of 16 tokens that see each other, but each fifth pair. Blocks share nothing, so
  // that no band can merge two of them.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 128; ++i) {
    for (std::int32_t j = i / 16 * 16; j < i / 16 * 16 + 16; ++j) {
      if ((i + j) % 5 != 0) entries.emplace_back(i, j);
    }
  }
  const Csr blocks = Csr::from_entries(128, 128, entries);
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    const Csr mask = permute(blocks, Ordering{testing::random_permutation(128, seed),
                                              testing::random_permutation(128, seed + 10), false});
    const auto report = run(mask, seed).report;
    EXPECT_EQ(report.before.nonempty, 64) << "seed " << seed;
    EXPECT_EQ(report.after.nonempty, 8) << "seed " << seed;
  }
}

TEST(MinHash, LinesWithoutEntriesAreNotTakenForEqualToOthers) {
  const Ordering ordering = run(Csr::from_entries(5, 5, testing::Entries{{1, 2}, {3, 2}})).ordering;
  // Rows 1 and 3 are equal and come together; the empty ones keep their places around them.
  EXPECT_EQ(testing::to_vector(ordering.rows), (std::vector<std::int32_t>{0, 1, 3, 2, 4}));
  EXPECT_TRUE(ordering.cols.is_identity());
}

TEST(MinHash, ThreadsAreNoMatter) {
  const Csr mask = testing::random_pattern(64, 96, 600, 5);
  const Ordering one = run(mask).ordering;
  EXPECT_EQ(run(mask, 1, 2).ordering, one);
  EXPECT_EQ(run(mask, 1, 8).ordering, one);
}

}  // namespace
}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "reorder/features.hpp"

#include <gtest/gtest.h>

#include "patterns.hpp"

namespace reorder {
namespace {

TEST(Features, OfAPath) {
  const MaskFeatures f = look_at(testing::path(100));
  EXPECT_TRUE(f.symmetric);
  EXPECT_EQ(f.mirrored, 1);
  EXPECT_EQ(f.components, 1);
  EXPECT_EQ(f.rows, (DegreeSpread{.empty = 0, .median = 3, .max = 3, .hubs = 0}));
  EXPECT_EQ(f.rows, f.cols);
  EXPECT_DOUBLE_EQ(f.band, 0.01);
  EXPECT_NEAR(f.causal, 2.0 / 3, 0.1);
}

TEST(Features, OfCausalDocuments) {
  testing::Entries entries;  // three documents of ten
  for (std::int32_t i = 0; i < 30; ++i) {
    for (std::int32_t j = i / 10 * 10; j <= i; ++j) entries.emplace_back(i, j);
  }
  const Csr natural = Csr::from_entries(30, 30, entries);
  const MaskFeatures f = look_at(natural);
  EXPECT_FALSE(f.symmetric);
  EXPECT_EQ(f.components, 3);
  EXPECT_EQ(f.causal, 1);
  EXPECT_NEAR(f.mirrored, 10.0 / 55, 0.1) << "the diagonal alone";
  EXPECT_EQ(f.likeness, 1) << "the earlier row sees nothing that the later does not";

  const MaskFeatures shuffled =
      look_at(permute(natural, Ordering::same(testing::random_permutation(30, 1))));
  EXPECT_EQ(shuffled.components, 3);
  EXPECT_EQ(shuffled.likeness, 1);
  EXPECT_LT(shuffled.causal, 0.9);
  EXPECT_GT(shuffled.band, f.band);
}

TEST(Features, HubsAndEmptyRows) {
  testing::Entries entries;
  for (std::int32_t j = 0; j < 90; ++j) entries.emplace_back(7, j);
  for (std::int32_t i = 10; i < 90; ++i) entries.emplace_back(i, i);
  const MaskFeatures f = look_at(Csr::from_entries(100, 100, entries));
  EXPECT_EQ(f.rows, (DegreeSpread{.empty = 19, .median = 1, .max = 90, .hubs = 1}));
  EXPECT_EQ(f.cols.hubs, 0);
  EXPECT_EQ(f.cols.empty, 10);
  EXPECT_EQ(f.components, 1);
  EXPECT_NE(describe(f).find("1 hub, 19 empty"), std::string::npos) << describe(f);
}

TEST(Features, OfARectangularMaskAndOfNothing) {
  // Rows 0 and 1 share column 0; row 2 stands alone.
  const MaskFeatures f = look_at(Csr::from_entries(3, 9, {{{0, 0}, {1, 0}, {1, 5}, {2, 8}}}));
  EXPECT_EQ(f.components, 2);
  EXPECT_FALSE(f.symmetric);
  EXPECT_EQ(f.mirrored, 0);
  EXPECT_NE(describe(f).find("rectangular"), std::string::npos);

  for (const auto& [rows, cols] : {std::pair{0, 0}, {0, 5}, {5, 0}, {4, 4}}) {
    const MaskFeatures nothing = look_at(Csr::from_entries(rows, cols, {}));
    EXPECT_EQ(nothing.components, 0);
    EXPECT_EQ(nothing.rows.empty, rows);
    EXPECT_EQ(describe(nothing), "no entries");
  }
}

TEST(Features, AnExpanderHasNoLikeNeighbours) {
  EXPECT_LT(look_at(testing::random_pattern(2000, 2000, 16000, 3)).likeness, 0.05);
}

}  // namespace
}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
// libreorder counts tiles from CSR and an ordering; libattn builds them. They must agree.
#include <gtest/gtest.h>

#include "experiments/build_mask.hpp"
#include "integration/families.hpp"
#include "reorder/pipeline.hpp"

namespace experiments {
namespace {

class TileCounts : public testing::TestWithParam<std::string> {};

TEST_P(TileCounts, CountedEqualsBuilt) {
  const auto mask = masks::make(GetParam());
  const reorder::CsrView pattern = mask.pattern;
  const auto random = reorder::Pipeline::parse("random", reorder::Registry::with_builtins())
                          .run(pattern, {.objective = {}, .seed = 3, .threads = 1})
                          .ordering;
  const auto identity = reorder::Ordering::identity(pattern.n_rows, pattern.n_cols);
  for (const reorder::Tile tile : {reorder::Tile{8, 8},
                                   {8, 256},
                                   {16, 64},
                                   {24, 40},
                                   {64, 32},
                                   {128, 128},
                                   {256, 8},
                                   {256, 256}}) {
    for (const auto* ordering : {&identity, &random}) {
      SCOPED_TRACE(GetParam() + ", tiles of " + std::to_string(tile.rows) + "x" +
                   std::to_string(tile.cols) + (ordering == &random ? ", random seed 3" : ""));
      const auto counted = reorder::count_tiles(pattern, *ordering, tile);
      const auto permuted = reorder::permute(pattern, *ordering);
      const auto built =
          attn::BlockMask::from_csr(to_attn(permuted), {tile.rows, tile.cols}, /*threads=*/2);
      EXPECT_EQ(disagreement(counted, built).value_or(""), "");
      EXPECT_EQ(counted.tile_rows, built.row_tiles());
      EXPECT_EQ(counted.tile_cols, built.key_tiles());
      EXPECT_LE(reorder::tile_lower_bound(pattern, tile), counted.nonempty);
      std::int64_t heaviest = 0;
      for (std::int32_t r = 0; r < built.row_tiles(); ++r) {
        const auto lists = built.lists();
        heaviest = std::max<std::int64_t>(
            heaviest, static_cast<std::int64_t>(lists.full(r).size() + lists.partial(r).size()));
      }
      EXPECT_EQ(counted.max_per_row, heaviest);
    }
  }
}

/// A new generator joins the integration tests by a line in families.hpp.
TEST(Families, NoneIsForgotten) {
  const auto texts = test::small_masks();
  for (const auto& generator : masks::generators()) {
    const std::string& name = generator.name;
    // The peers' masks are of 16,384 tokens and of the same families.
    if (name.starts_with("peer:")) continue;
    EXPECT_TRUE(std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
      return text.starts_with(name + "(") || text.find("|" + name) != std::string::npos;
    })) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TileCounts, testing::ValuesIn(test::small_masks()),
                         test::family_name);

}  // namespace
}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
//
// The masks of arXiv 2409.15097 at its tiles of 128 x 32: the counts are known, and tell a mask
// that is off by one token.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "masks/mask.hpp"
#include "patterns.hpp"

namespace masks {
namespace {

TileStatistics tiles_of(const std::string& text) {
  return count_tiles_plainly(make(text).pattern, 128, 32);
}

struct Known {
  const char* text;
  TileStatistics tiles;
};

class PaperMasks : public testing::TestWithParam<Known> {};

TEST_P(PaperMasks, HaveTheKnownTiles) {
  EXPECT_EQ(tiles_of(GetParam().text), GetParam().tiles) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(Windowed, PaperMasks,
                         testing::Values(Known{"longformer_paper(n=256)", {10, 0, 5}},
                                         Known{"longformer_paper(n=1024)", {46, 0, 6}},
                                         Known{"longformer_paper(n=4096)", {190, 0, 6}},
                                         Known{"longformer_paper(n=16384)", {766, 0, 6}},
                                         Known{"longformer_paper(n=1024,dilation=2)", {46, 0, 6}},
                                         Known{"longformer_paper(n=4096,dilation=2)", {190, 0, 6}},
                                         Known{"longformer_paper(n=16384,dilation=2)", {766, 0, 6}},
                                         // Four steps to either side are a window of 4.
                                         Known{"window(n=4096,window=4)", {190, 0, 6}}));

INSTANTIATE_TEST_SUITE_P(Causal, PaperMasks,
                         testing::Values(Known{"causal(n=1024)", {144, 112, 32}},
                                         Known{"causal(n=4096)", {2112, 1984, 128}},
                                         Known{"causal(n=16384)", {33024, 32512, 512}}));

INSTANTIATE_TEST_SUITE_P(Medusa, PaperMasks,
                         testing::Values(Known{"medusa(s=3,k=8)", {485, 0, 7}},
                                         Known{"medusa(s=3,k=8,sees=ancestors)", {821, 0, 13}},
                                         Known{"medusa(s=10,k=4)", {468, 0, 6}},
                                         Known{"medusa(s=10,k=4,sees=ancestors)", {616, 0, 9}}));

TEST(PaperMasks, MedusaIsPaddedToThePowersOfTwoOfThePaper) {
  const auto size = [](const std::string& text) { return make(text).pattern.n_rows(); };
  EXPECT_EQ(size("medusa(s=3,k=4)"), 128);
  EXPECT_EQ(size("medusa(s=3,k=5)"), 512);
  EXPECT_EQ(size("medusa(s=3,k=6)"), 2048);
  EXPECT_EQ(size("medusa(s=3,k=7)"), 4096);
  EXPECT_EQ(size("medusa(s=3,k=8)"), 16384);
  EXPECT_EQ(size("medusa(s=5,k=4)"), 1024);
  EXPECT_EQ(size("medusa(s=9,k=4)"), 8192);
}

struct KnownAlpaca {
  int n;
  const char* mode;
  std::int64_t nonempty;
  std::int64_t full;
  std::int64_t tokens;  ///< of the examples that fit
};

class Alpaca : public testing::TestWithParam<KnownAlpaca> {};

TEST_P(Alpaca, HasTheKnownTilesAndTokens) {
  const KnownAlpaca known = GetParam();
  const Mask mask =
      make("alpaca(n=" + std::to_string(known.n) + ",mode=" + std::string(known.mode) + ")");
  const TileStatistics tiles = count_tiles_plainly(mask.pattern, 128, 32);
  EXPECT_EQ(tiles.nonempty, known.nonempty);
  EXPECT_EQ(tiles.full, known.full);
  EXPECT_LE(tiles.most_in_a_row, std::string(known.mode) == "causal" ? 12 : 13);
  EXPECT_EQ(mask.note, "");
  const reorder::CsrView view = mask.pattern;
  std::int64_t tokens = 0;
  for (std::int32_t i = 0; i < view.n_rows; ++i) tokens += view.degree(i) > 0;
  EXPECT_EQ(tokens, known.tokens);
}

INSTANTIATE_TEST_SUITE_P(Known, Alpaca,
                         testing::Values(KnownAlpaca{256, "causal", 10, 0, 236},
                                         KnownAlpaca{512, "causal", 23, 0, 476},
                                         KnownAlpaca{1024, "causal", 51, 1, 1003},
                                         KnownAlpaca{2048, "causal", 95, 2, 1807},
                                         KnownAlpaca{4096, "causal", 212, 5, 4034},
                                         KnownAlpaca{256, "bidirectional", 10, 0, 244},
                                         KnownAlpaca{512, "bidirectional", 25, 0, 490},
                                         KnownAlpaca{1024, "bidirectional", 48, 0, 936},
                                         KnownAlpaca{2048, "bidirectional", 102, 4, 1853},
                                         KnownAlpaca{4096, "bidirectional", 215, 6, 4048}));

TEST(Alpaca, SaysWhenLengthsWereDrawn) {
  EXPECT_EQ(make("alpaca(n=8192,mode=bidirectional)").note, "");
  EXPECT_EQ(make("alpaca(n=16384)").note.find("lengths of "), 0U);
}

struct KnownGlobals {
  const char* globals;
  int n;
  double one_seed;  ///< non-empty tiles that were counted once, with one unknown seed
  double mean;      ///< of 600 masks that an independent program drew
};

class PaperGlobals : public testing::TestWithParam<KnownGlobals> {
 protected:
  static double count(int seed) {
    const KnownGlobals known = GetParam();
    return static_cast<double>(tiles_of("longformer_paper(n=" + std::to_string(known.n) +
                                        ",globals=" + known.globals +
                                        ",seed=" + std::to_string(seed) + ")")
                                   .nonempty);
  }
};

// Where the random tokens fall moves the count of a single mask by 4 to 13 %, so that the one mask
// counted elsewhere says little about the mean: it must lie within two standard deviations.
TEST_P(PaperGlobals, HaveTheKnownMeanAndSpread) {
  const int seeds = GetParam().n <= 4096 ? 60 : 20;
  double sum = 0;
  double squares = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    const double tiles = count(seed);
    sum += tiles;
    squares += tiles * tiles;
  }
  const double mean = sum / seeds;
  const double deviation = std::sqrt(squares / seeds - mean * mean);
  EXPECT_NEAR(mean / GetParam().mean, 1, 0.05);
  EXPECT_NEAR(GetParam().one_seed, mean, 2 * deviation);
}

INSTANTIATE_TEST_SUITE_P(Known, PaperGlobals,
                         testing::Values(KnownGlobals{"fixed", 1024, 237, 211.8},
                                         KnownGlobals{"fixed", 4096, 1514, 1569},
                                         KnownGlobals{"fixed", 16384, 8833, 8525},
                                         KnownGlobals{"timed", 1024, 178, 165.2},
                                         KnownGlobals{"timed", 4096, 966, 1103},
                                         KnownGlobals{"timed", 16384, 5731, 5540}));

struct KnownRcm {
  const char* formula;
  int n;
  double entries_per_row;
  double share;  ///< of non-empty tiles
};

class RcmMask : public testing::TestWithParam<KnownRcm> {};

TEST_P(RcmMask, HasTheKnownDensity) {
  const KnownRcm known = GetParam();
  double entries = 0;
  double share = 0;
  constexpr int kSeeds = 5;
  for (int seed = 0; seed < kSeeds; ++seed) {
    const reorder::Csr mask =
        make("rcm_paper(n=" + std::to_string(known.n) + ",formula=" + known.formula +
             ",seed=" + std::to_string(seed) + ")")
            .pattern;
    entries += static_cast<double>(mask.nnz()) / known.n / kSeeds;
    const double all = std::ceil(known.n / 128.0) * (known.n / 32);
    share += static_cast<double>(count_tiles_plainly(mask, 128, 32).nonempty) / all / kSeeds;
  }
  EXPECT_NEAR(entries, known.entries_per_row, 0.02 * known.entries_per_row + 0.05);
  // Small masks have few tiles: five seeds of 1024 tokens know the share to about 3 %.
  EXPECT_NEAR(share, known.share, 0.01 + 40.0 / known.n);
}

INSTANTIATE_TEST_SUITE_P(Known, RcmMask,
                         testing::Values(KnownRcm{"active", 1024, 4.0, 0.65},
                                         KnownRcm{"active", 4096, 4.7, 0.57},
                                         KnownRcm{"active", 16384, 7.1, 0.56},
                                         KnownRcm{"commented", 1024, 1.24, 0.63},
                                         KnownRcm{"commented", 4096, 1.58, 0.44},
                                         KnownRcm{"commented", 16384, 2.62, 0.33}));

struct KnownChoices {
  const char* list;
  std::int64_t entries;
};

class MedusaChoices : public testing::TestWithParam<KnownChoices> {};

TEST_P(MedusaChoices, HaveTheKnownEntries) {
  const KnownChoices known = GetParam();
  const Mask mask = make(std::string("medusa_choices(n=64,list=") + known.list + ")");
  EXPECT_EQ(mask.pattern.nnz(), known.entries) << known.list;
  for (std::int32_t i = 0; i < 64; ++i) EXPECT_EQ(mask.pattern.view().row(i)[0], 0) << "row " << i;
}

INSTANTIATE_TEST_SUITE_P(
    All, MedusaChoices,
    testing::Values(KnownChoices{"mc_sim_7b_63", 207}, KnownChoices{"vicuna_7b_stage2", 217},
                    KnownChoices{"vicuna_7b_stage1_ablation", 219},
                    KnownChoices{"vicuna_7b_stage1", 202}, KnownChoices{"vicuna_13b_stage2", 223},
                    KnownChoices{"vicuna_13b_stage1", 205}, KnownChoices{"vicuna_33b_stage2", 214},
                    KnownChoices{"vicuna_33b_stage1", 199}, KnownChoices{"zephyr_stage2", 209}));

}  // namespace
}  // namespace masks

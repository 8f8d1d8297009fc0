// SPDX-License-Identifier: Apache-2.0
//
// The masks that other projects' kernels were measured on, against what was counted there.
#include <gtest/gtest.h>

#include "masks/mask.hpp"
#include "patterns.hpp"

namespace masks {
namespace {

struct KnownPeer {
  const char* name;
  double density;   ///< four digits were noted
  double occupied;  ///< share of the 128 x 128 tiles
};

class PeerMasks : public testing::TestWithParam<KnownPeer> {};

TEST_P(PeerMasks, HaveTheMeasuredDensityAndTiles) {
  const KnownPeer known = GetParam();
  const Mask mask = make(std::string("peer:") + known.name);
  constexpr double kSize = 16384;
  ASSERT_EQ(mask.pattern.n_rows(), kSize);
  ASSERT_EQ(mask.pattern.n_cols(), kSize);
  EXPECT_EQ(mask.name, std::string("peer:") + known.name);
  EXPECT_NEAR(static_cast<double>(mask.pattern.nnz()) / (kSize * kSize), known.density, 0.00006);
  const TileStatistics tiles = count_tiles_plainly(mask.pattern, 128, 128);
  EXPECT_NEAR(static_cast<double>(tiles.nonempty) / (128 * 128), known.occupied, 0.00006);
}

INSTANTIATE_TEST_SUITE_P(Measured, PeerMasks,
                         testing::Values(KnownPeer{"causal", 0.5, 0.5039},
                                         KnownPeer{"window128", 0.0156, 0.0233},
                                         KnownPeer{"causal_window256", 0.0156, 0.0233},
                                         KnownPeer{"longformer_w256_g64", 0.0387, 0.0540},
                                         KnownPeer{"longformer_w128_dil8_g16", 0.0171, 0.1429},
                                         KnownPeer{"bigbird_w96_g64_r3", 0.0310, 0.0832},
                                         KnownPeer{"alpaca_like_mean270", 0.0173, 0.0308},
                                         KnownPeer{"docs_mean1024", 0.0620, 0.0722},
                                         KnownPeer{"tree64_packed", 0.0004, 0.0078},
                                         KnownPeer{"cdw_sinks", 0.0079, 0.0229},
                                         KnownPeer{"shuffled_docs1024", 0.0620, 1.0}));

TEST(PeerMasks, DocumentsHaveTheListedTiles) {
  const auto tiles = [](const char* name) {
    return count_tiles_plainly(make(name).pattern, 128, 128).nonempty;
  };
  EXPECT_EQ(tiles("peer:docs_mean1024"), 1183);
  EXPECT_EQ(tiles("peer:alpaca_like_mean270"), 505);
}

}  // namespace
}  // namespace masks

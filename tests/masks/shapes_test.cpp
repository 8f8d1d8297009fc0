// SPDX-License-Identifier: Apache-2.0
//
// Small masks that can be checked by eye: rows are queries, columns keys.
#include <gtest/gtest.h>

#include "masks/mask.hpp"
#include "patterns.hpp"
#include "trees.hpp"

namespace masks {
namespace {

using Lines = std::vector<std::string>;

Lines picture_of(const char* text) {
  return picture(make(text).pattern);
}

TEST(Shapes, Causal) {
  EXPECT_EQ(picture_of("causal(n=3)"), (Lines{"x..", "xx.", "xxx"}));
}

TEST(Shapes, Dense) {
  EXPECT_EQ(picture_of("dense(n=2)"), (Lines{"xx", "xx"}));
}

TEST(Shapes, Window) {
  EXPECT_EQ(picture_of("window(n=5,window=1)"),
            (Lines{"xx...", "xxx..", ".xxx.", "..xxx", "...xx"}));
  EXPECT_EQ(picture_of("window(n=5,window=2,mode=causal)"),
            (Lines{"x....", "xx...", "xxx..", ".xxx.", "..xxx"}));
  EXPECT_EQ(picture_of("window(n=2,window=0)"), (Lines{"x.", ".x"}));
  EXPECT_EQ(picture_of("window(n=2,window=2147483647)"), (Lines{"xx", "xx"}));
}

TEST(Shapes, Longformer) {
  EXPECT_EQ(picture_of("longformer(n=6,window=1,globals=1)"),
            (Lines{"xxxxxx", "xxx...", "xxxx..", "x.xxx.", "x..xxx", "x...xx"}));
  EXPECT_EQ(picture_of("longformer(n=6,window=1,dilation=2,globals=0)"),
            (Lines{"x.x...", ".x.x..", "x.x.x.", ".x.x.x", "..x.x.", "...x.x"}));
}

TEST(Shapes, LongformerDilationAndGlobals) {
  EXPECT_EQ(picture_of("longformer(n=7,window=2,dilation=3,globals=1)"),
            (Lines{"xxxxxxx", "xx..x..", "x.x..x.", "x..x..x", "xx..x..", "x.x..x.", "x..x..x"}));
}

TEST(Shapes, LongformerPaper) {
  EXPECT_EQ(picture_of("longformer_paper(n=4,window_size=2)"),
            (Lines{"xx..", "xxx.", ".xxx", "..xx"}));
  EXPECT_EQ(picture_of("longformer_paper(n=5,window_size=2,dilation=2)"),
            (Lines{"x.x..", ".x.x.", "x.x.x", ".x.x.", "..x.x"}));
  // Of four tokens, log2(4) - 2 = 0 are drawn: the globals are tokens 0 and 1, by whole lines.
  EXPECT_EQ(picture_of("longformer_paper(n=4,window_size=0,globals=fixed)"),
            (Lines{"xxxx", "xxxx", "xxx.", "xx.x"}));
  // Of two tokens, both are global in either variant; half lines from the diagonal on.
  EXPECT_EQ(picture_of("longformer_paper(n=2,window_size=0,globals=timed)"), (Lines{"xx", "xx"}));
}

TEST(Shapes, BigBirdWithoutRandomBlocks) {
  EXPECT_EQ(picture_of("bigbird(n=5,window=1,globals=1,random=0)"),
            (Lines{"xxxxx", "xxx..", "xxxx.", "x.xxx", "x..xx"}));
}

TEST(Shapes, BigBirdBlocksAreWhole) {
  const reorder::Csr mask = make("bigbird(n=12,window=0,globals=0,random=1,block=4)").pattern;
  for (std::int32_t i = 0; i < 12; ++i) {
    // One block of 4 columns, and the diagonal, which may lie in it.
    const auto row = mask.view().row(i);
    ASSERT_TRUE(row.size() == 4 || row.size() == 5) << "row " << i;
    std::vector<std::int32_t> block(row.begin(), row.end());
    if (row.size() == 5) std::erase(block, i);
    EXPECT_EQ(block[0] % 4, 0) << "row " << i;
    EXPECT_EQ(block[3], block[0] + 3) << "row " << i;
    const auto before = mask.view().row(i - i % 4);
    EXPECT_TRUE(std::find(before.begin(), before.end(), block[0]) != before.end()) << "row " << i;
  }
}

TEST(Shapes, SparseTransformer) {
  EXPECT_EQ(picture_of("sparse_transformer(n=6,stride=2)"),
            (Lines{"x.....", "xx....", "xxx...", ".xxx..", "x.xxx.", ".x.xxx"}));
  EXPECT_EQ(picture_of("sparse_transformer(n=6,stride=3,kind=fixed,summary=1)"),
            (Lines{"x.....", "xx....", "xxx...", "..xx..", "..xxx.", "..xxxx"}));
}

TEST(Shapes, Docs) {
  // With sigma = 0 every document is as long as the median.
  EXPECT_EQ(picture_of("docs(n=10,median=8,sigma=0,mode=bidirectional)")[9], "........xx");
  EXPECT_EQ(picture_of("docs(n=10,median=8,sigma=0)")[9], "........xx");
  EXPECT_EQ(picture_of("docs(n=10,median=8,sigma=0)")[2], "xxx.......");
  // A quarter of 8 tokens is prompt.
  EXPECT_EQ(picture_of("docs(n=9,median=8,sigma=0,mode=prompt,prompt_min=0.25,prompt_max=0.25)"),
            (Lines{"xx.......", "xx.......", "xxx......", "xxxx.....", "xxxxx....", "xxxxxx...",
                   "xxxxxxx..", "xxxxxxxx.", "........x"}));
}

TEST(Shapes, AlpacaPadsTheTail) {
  // The first example has 50 tokens, 9 of them input and 43 output when cut in two; the second has
  // 21, or 9 and 14.
  const Lines causal = picture_of("alpaca(n=70)");
  EXPECT_EQ(causal[49], std::string(50, 'x') + std::string(20, '.'));
  EXPECT_EQ(causal[50], std::string(70, '.'));
  const Lines both = picture_of("alpaca(n=80,mode=bidirectional)");
  EXPECT_EQ(both[0], std::string(9, 'x') + std::string(71, '.'));
  EXPECT_EQ(both[9], std::string(10, 'x') + std::string(70, '.'));
  EXPECT_EQ(both[51], std::string(52, 'x') + std::string(28, '.'));
  EXPECT_EQ(both[52], std::string(52, '.') + std::string(9, 'x') + std::string(19, '.'));
  EXPECT_EQ(both[75], std::string(80, '.'));
}

TEST(Shapes, CdwSinks) {
  EXPECT_EQ(picture_of("cdw_sinks(n=6,docs=1,window=1,sinks=2)"),
            (Lines{"x.....", "xx....", "xxx...", "xxxx..", "xx.xx.", "xx..xx"}));
  // As many documents as tokens: each token alone.
  EXPECT_EQ(picture_of("cdw_sinks(n=3,docs=9)"), (Lines{"x..", ".x.", "..x"}));
}

TEST(Shapes, Medusa) {
  // Two children each, two levels: 0 1 | 2 3 (of 0) 4 5 (of 1); padded to 8.
  EXPECT_EQ(picture_of("medusa(s=2,k=2)"), (Lines{"x.......", ".x......", "x.x.....", "x..x....",
                                                  ".x..x...", ".x...x..", "........", "........"}));
  // A third level shows the difference between the parent and all ancestors.
  EXPECT_EQ(picture_of("medusa(s=2,k=3,sees=parent)")[6], "..x...x.........");
  EXPECT_EQ(picture_of("medusa(s=2,k=3,sees=ancestors)")[6], "x.x...x.........");
  EXPECT_EQ(picture_of("medusa(s=2,k=3,sees=ancestors)")[13], ".x...x.......x..");
}

TEST(Shapes, RepeatedTree) {
  const std::vector<std::int32_t> parents{-1, 0, 1};
  EXPECT_EQ(picture(repeat_tree(5, parents, Sees::ancestors)),
            (Lines{"x....", "xx...", "xxx..", "...x.", "...xx"}));
  EXPECT_EQ(picture(repeat_tree(3, parents, Sees::parent)), (Lines{"x..", "xx.", ".xx"}));
}

TEST(Shapes, Grid2d) {
  EXPECT_EQ(picture_of("grid2d(n=4)"), (Lines{"xxx.", "xx.x", "x.xx", ".xxx"}));
  // Three in a row; the second row is cut after one.
  EXPECT_EQ(picture_of("grid2d(n=4,width=3)"), (Lines{"xx.x", "xxx.", ".xx.", "x..x"}));
  EXPECT_EQ(picture_of("grid2d(n=2,width=1)"), (Lines{"xx", "xx"}));
}

TEST(Shapes, Grid3d) {
  EXPECT_EQ(picture_of("grid3d(n=8)"), (Lines(8, "xxxxxxxx")));
  const reorder::Csr cube = make("grid3d(n=27)").pattern;
  EXPECT_EQ(cube.view().degree(13), 27);  // the middle
  EXPECT_EQ(cube.view().degree(0), 8);    // a corner
  EXPECT_EQ(cube.view().degree(1), 12);   // an edge
}

TEST(Shapes, Transpose) {
  EXPECT_EQ(picture_of("causal(n=3)|transpose"), (Lines{"xxx", ".xx", "..x"}));
}

}  // namespace
}  // namespace masks

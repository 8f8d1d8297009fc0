// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "masks/mask.hpp"
#include "patterns.hpp"
#include "reorder/error.hpp"

namespace masks {
namespace {

using reorder::ErrorCode;

TEST(MaskText, OneMaskHasOneName) {
  for (const char* text :
       {"longformer", "longformer(4096)", "longformer(n=4096,window=256)",
        " longformer ( globals = 64 , n = 4096 ) ", "longformer(4096,256,1,64)"}) {
    EXPECT_EQ(make(text).name, "longformer(n=4096)") << text;
  }
  EXPECT_EQ(make("docs(n=100,sigma=0.50,seed=3)").name, "docs(n=100,sigma=0.5,seed=3)");
  EXPECT_EQ(make("docs(n=100,median=20,mode=prompt)").name, "docs(n=100,median=20,mode=prompt)");
  EXPECT_EQ(make("causal(n=10) | shuffle(seed=3)|shuffle").name,
            "causal(n=10)|shuffle(seed=3)|shuffle");
}

TEST(MaskText, ShuffleUsesOnePermutationForSquareMasks) {
  const reorder::Csr shuffled = make("window(n=50,window=2)|shuffle(seed=1)").pattern;
  EXPECT_EQ(what_is_wrong(shuffled), "");
  EXPECT_TRUE(reorder::is_symmetric(shuffled));
  EXPECT_EQ(shuffled.nnz(), make("window(n=50,window=2)").pattern.nnz());
  EXPECT_FALSE(same(shuffled, make("window(n=50,window=2)").pattern));
  EXPECT_FALSE(same(shuffled, make("window(n=50,window=2)|shuffle(seed=2)").pattern));
}

TEST(MaskText, ShuffleUsesTwoPermutationsForRectangularMasks) {
  const reorder::Csr plain = make("rect_topics(n=64,queries=64,extra=0)|transpose").pattern;
  EXPECT_EQ(plain.nnz(), make("rect_topics(n=64,queries=64,extra=0)|shuffle").pattern.nnz());
  const reorder::Csr shuffled = make("rect_topics(n=200)|shuffle(seed=1)").pattern;
  EXPECT_EQ(what_is_wrong(shuffled), "");
  EXPECT_EQ(shuffled.n_rows(), 50);
  EXPECT_EQ(shuffled.n_cols(), 200);
}

TEST(MaskText, GeneratorNamesAreUnique) {
  std::set<std::string> names;
  for (const GeneratorInfo& info : generators()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
  }
}

TEST(MaskText, CheckMakesNothing) {
  check("dense(n=2147483647)|shuffle(seed=1)");  // making it would be refused
  EXPECT_THROW(check("dense(n=0)"), reorder::Error);
  EXPECT_THROW(check("dense|shuffle(sed=1)"), reorder::Error);
  EXPECT_THROW(check("no/such/file.npz|shuffle"), reorder::Error);
}

TEST(MaskText, ASourceFileIsToldFromAGenerator) {
  EXPECT_EQ(source_file("a/b.MTX | shuffle"), "a/b.MTX");
  EXPECT_EQ(source_file("\"a|b.npz\"|shuffle"), "a|b.npz");
  EXPECT_EQ(source_file("causal(n=8)|shuffle"), "");
  EXPECT_EQ(source_file(""), "");
}

struct Bad {
  const char* text;
  ErrorCode code;
  const char* part;  ///< of the sentence
};

class BadText : public testing::TestWithParam<Bad> {};

TEST_P(BadText, IsAnErrorThatSaysWhy) {
  const Bad bad = GetParam();
  try {
    (void)make(bad.text);
    FAIL() << bad.text << " made a mask";
  } catch (const reorder::Error& error) {
    EXPECT_EQ(error.code(), bad.code) << bad.text << ": " << error.what();
    EXPECT_NE(std::string(error.what()).find(bad.part), std::string::npos)
        << bad.text << ": " << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadText,
    testing::Values(
        Bad{"longfomer", ErrorCode::unknown_name, "did you mean 'longformer'?"},
        Bad{"peer:docs_mean1042", ErrorCode::unknown_name, "did you mean 'peer:docs_mean1024'?"},
        Bad{"causal|shufle", ErrorCode::unknown_name, "did you mean 'shuffle'?"},
        Bad{"causal|causal", ErrorCode::unknown_name,
            "no mask modifier is named 'causal'; there are shuffle, transpose"},
        Bad{"shuffle(seed=1)", ErrorCode::invalid_argument, "a generator or a file comes before"},
        Bad{"causal(m=3)", ErrorCode::unknown_name, "m"},
        Bad{"causal(n=0)", ErrorCode::invalid_argument, "0"},
        Bad{"causal(n=three)", ErrorCode::syntax, "three"},
        Bad{"causal(n=3", ErrorCode::syntax, ""}, Bad{"", ErrorCode::syntax, ""},
        Bad{"|shuffle", ErrorCode::syntax, ""}, Bad{"causal|", ErrorCode::syntax, ""},
        Bad{"window(mode=both)", ErrorCode::invalid_argument,
            "mode is 'both'; it can be symmetric or causal"},
        Bad{"medusa_choices(list=mc)", ErrorCode::invalid_argument, "mc_sim_7b_63"},
        Bad{"medusa(s=3,k=8,n=100)", ErrorCode::invalid_argument, "9840"},
        Bad{"medusa(s=1000,k=4)", ErrorCode::too_large, "2^30"},
        Bad{"docs(prompt_min=0.9)", ErrorCode::invalid_argument, "prompt_max"},
        Bad{"rmat(a=0.9,b=0.9)", ErrorCode::invalid_argument, "a + b + c"},
        // Refused before the time and the memory are spent.
        Bad{"dense(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"causal(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"random(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"random_rows(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"er(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"sbm(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"rmat(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"knn(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"rcm_paper(n=2147483647)", ErrorCode::too_large, "8589934592"},
        Bad{"no/such/file.mtx", ErrorCode::bad_file, "no/such/file.mtx: cannot open: No such file"},
        Bad{"\"no such|file.npz\" | shuffle", ErrorCode::bad_file,
            "no such|file.npz: cannot open: No such"},
        Bad{"mask.bin", ErrorCode::unknown_name, ".mtx, .mtx.gz, .npz or .npy"}));

}  // namespace
}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
//
// What every generator promises, over all of them at small sizes.
#include <gtest/gtest.h>

#include <map>

#include "masks/mask.hpp"
#include "patterns.hpp"
#include "reorder/error.hpp"

namespace masks {
namespace {

constexpr int kSizes[] = {1, 2, 3, 7, 64, 65, 130, 257};

/// Texts that make a generator at about a size, with parameters at which its seed matters; several
/// where it has modes.
std::vector<std::string> texts_of(const std::string& name, int n) {
  static const std::map<std::string, std::vector<std::string>> kArguments = {
      {"window", {"window=5", "window=5,mode=causal"}},
      {"longformer", {"window=3,globals=2", "window=3,dilation=4,globals=5"}},
      {"longformer_paper", {"globals=timed", "globals=fixed", "dilation=3"}},
      {"bigbird", {"window=2,globals=1,block=8", "block=64"}},
      {"bigbird_token", {"window=2,globals=1,random=3"}},
      {"sparse_transformer", {"stride=8", "stride=8,kind=fixed"}},
      {"docs",
       {"median=20", "median=20,mode=bidirectional", "median=20,mode=prompt", "mean=15",
        "mean=0.01"}},
      {"alpaca", {"mode=causal", "mode=bidirectional"}},
      {"cdw_sinks", {"window=6,sinks=2", "docs=200"}},
      {"medusa_choices", {"list=mc_sim_7b_63", "list=zephyr_stage2,sees=parent"}},
      {"trees", {"nodes=64", "nodes=9,sees=parent"}},
      {"rcm_paper", {"formula=active", "formula=commented"}},
      {"grid2d", {"width=0", "width=5"}},
      {"grid3d", {"side=0", "side=3"}},
      {"knn", {"k=4", "k=300"}},
      {"random", {"density=0.1", "density=0", "density=1"}},
      {"random_rows", {"k=5", "k=300"}},
      {"rect_topics", {"extra=2", "queries=31,keep=1"}},
  };
  std::vector<std::string> texts;
  if (name == "medusa") {
    const int levels = n < 64 ? 2 : 4;
    for (const char* sees : {"parent", "ancestors"}) {
      texts.push_back("medusa(s=3,k=" + std::to_string(levels) + ",sees=" + sees +
                      ",n=" + std::to_string(n < 120 ? 0 : n) + ")");
    }
    return texts;
  }
  const auto found = kArguments.find(name);
  const std::string size = name + "(n=" + std::to_string(n);
  if (found == kArguments.end()) return {size + ")"};
  for (const std::string& arguments : found->second) texts.push_back(size + "," + arguments + ")");
  return texts;
}

std::vector<GeneratorInfo> small_generators() {
  std::vector<GeneratorInfo> infos;
  for (const GeneratorInfo& info : generators()) {
    const bool has_one_size = info.name.starts_with("peer:");  // peer_masks_test.cpp
    if (!info.is_modifier && !has_one_size) infos.push_back(info);
  }
  return infos;
}

class Generators : public testing::TestWithParam<GeneratorInfo> {
 protected:
  /// Calls check(text, mask) for every text and size.
  template <class Check>
  void for_each_mask(Check&& check) {
    for (const int n : kSizes) {
      for (const std::string& text : texts_of(GetParam().name, n)) {
        SCOPED_TRACE(text);
        check(text, make(text));
      }
    }
  }
};

TEST_P(Generators, MakeWellFormedPatterns) {
  for_each_mask([](const std::string&, const Mask& mask) {
    EXPECT_EQ(what_is_wrong(mask.pattern), "");
    EXPECT_GT(mask.pattern.n_rows(), 0);
  });
}

TEST_P(Generators, TheNameMakesTheMaskAgain) {
  for_each_mask([](const std::string&, const Mask& mask) {
    const Mask again = make(mask.name);
    EXPECT_EQ(again.name, mask.name);
    EXPECT_EQ(again.note, mask.note);
    EXPECT_TRUE(same(again.pattern, mask.pattern)) << mask.name;
  });
}

TEST_P(Generators, AnotherSeedGivesAnotherMask) {
  const auto& params = GetParam().params;
  const bool has_seed = std::any_of(params.begin(), params.end(),
                                    [](const auto& spec) { return spec.name == "seed"; });
  if (!has_seed) GTEST_SKIP() << GetParam().name << " has no seed";
  // Only after its 100 known examples does ALPACA draw.
  const int n = GetParam().name == "alpaca" ? 12000 : 257;
  std::string text = texts_of(GetParam().name, n).front();
  text.pop_back();
  const reorder::Csr first = make(text + ",seed=1)").pattern;
  EXPECT_TRUE(same(first, make(text + ",seed=1)").pattern)) << text;
  EXPECT_FALSE(same(first, make(text + ",seed=2)").pattern)) << text;
  EXPECT_FALSE(same(first, make(text + ",seed=9007199254740992)").pattern)) << text;
}

TEST_P(Generators, AreDescribed) {
  EXPECT_FALSE(GetParam().summary.empty());
  for (const reorder::ParamSpec& spec : GetParam().params) {
    EXPECT_FALSE(spec.summary.empty()) << GetParam().name << " " << spec.name;
  }
  EXPECT_EQ(make(GetParam().name + (GetParam().name == "medusa" ? "" : "(n=4096)")).name,
            make(GetParam().name).name);
}

TEST_P(Generators, AreCausalOrSymmetricWhereTheyShouldBe) {
  static const std::set<std::string> kCausal{
      "causal",         "docs",  "alpaca", "cdw_sinks",
      "medusa_choices", "trees", "medusa", "sparse_transformer"};
  static const std::set<std::string> kSymmetric{
      "dense", "window", "longformer", "longformer_paper", "rcm_paper", "grid2d", "grid3d", "knn",
      "sbm",   "rmat",   "er"};
  for_each_mask([](const std::string& text, const Mask& mask) {
    const std::string& name = GetParam().name;
    const bool both_ways = text.find("mode=") != std::string::npos;
    const bool only_backwards = text.find("mode=causal") != std::string::npos;
    const reorder::CsrView view = mask.pattern;
    if (only_backwards || (!both_ways && kCausal.count(name) > 0)) {
      for (std::int32_t i = 0; i < view.n_rows; ++i) {
        ASSERT_TRUE(view.degree(i) == 0 || view.row(i).back() <= i) << "row " << i;
      }
    } else if (kSymmetric.count(name) > 0) {
      EXPECT_TRUE(reorder::is_symmetric(view));
    }
  });
}

TEST_P(Generators, ASizeBeyondTheLimitsIsRefusedQuickly) {
  for (const char* n : {"0", "-1", "2147483648", "99999999999"}) {
    const std::string text = GetParam().name + "(n=" + n + ")";
    if (GetParam().name == "medusa" && std::string(n) == "0") continue;
    EXPECT_THROW((void)make(text), reorder::Error) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Generators, testing::ValuesIn(small_generators()),
                         [](const auto& instance) { return instance.param.name; });

TEST(Generators, GraphsHaveTheirDiagonal) {
  for (const char* text : {"knn(n=50,k=2)", "sbm(n=50)", "rmat(n=50)", "er(n=50)", "grid2d(n=50)",
                           "grid3d(n=50)", "rcm_paper(n=50)"}) {
    const reorder::Csr mask = make(text).pattern;
    for (std::int32_t i = 0; i < 50; ++i) {
      const auto row = mask.view().row(i);
      EXPECT_TRUE(std::binary_search(row.begin(), row.end(), i)) << text << " row " << i;
    }
  }
}

TEST(Generators, NearestNeighboursAreTheNearest) {
  // With every point but one as neighbour, all pairs are there.
  EXPECT_EQ(make("knn(n=40,k=39)").pattern.nnz(), 40 * 40);
  // Each point has at least k neighbours besides itself, and few have many more.
  const reorder::Csr mask = make("knn(n=2000,k=8)").pattern;
  for (std::int32_t i = 0; i < 2000; ++i) EXPECT_GE(mask.view().degree(i), 9) << "row " << i;
  EXPECT_LT(mask.nnz(), 2000 * 14);
}

TEST(Generators, RandomRowsHaveExactlyKKeys) {
  const reorder::Csr mask = make("random_rows(n=100,k=60)").pattern;
  for (std::int32_t i = 0; i < 100; ++i) EXPECT_EQ(mask.view().degree(i), 60) << "row " << i;
}

TEST(Generators, RandomHasItsDensity) {
  EXPECT_NEAR(static_cast<double>(make("random(n=1000,density=0.05)").pattern.nnz()), 50000,
              5 * 218);
}

TEST(Generators, TheReorderingFamiliesHaveTheirSizes) {
  // The generators of docs/orderings.md at n=16384: entries per family, rounded there.
  const auto millions = [](const char* text) {
    return static_cast<double>(make(text).pattern.nnz()) / 1e6;
  };
  EXPECT_NEAR(millions("longformer(n=16384)"), 10.40, 0.005);
  EXPECT_NEAR(millions("longformer(n=16384,window=128,dilation=8,globals=16)"), 4.60, 0.005);
  EXPECT_NEAR(millions("bigbird(n=16384)"), 8.31, 0.05);
  EXPECT_NEAR(millions("bigbird_token(n=16384)"), 1.72, 0.005);
  EXPECT_NEAR(millions("trees(n=16384)"), 0.10, 0.02);
  EXPECT_NEAR(millions("grid2d(n=16384)"), 0.08, 0.005);
  EXPECT_NEAR(millions("grid3d(n=16384)"), 0.39, 0.02);
  EXPECT_NEAR(millions("knn(n=16384)"), 0.31, 0.02);
  EXPECT_NEAR(millions("sbm(n=16384)"), 0.46, 0.02);
  EXPECT_NEAR(millions("rmat(n=16384)"), 0.24, 0.01);
  EXPECT_NEAR(millions("er(n=16384)"), 0.15, 0.005);
  EXPECT_NEAR(millions("er(n=16384,degree=2)"), 0.05, 0.005);
  EXPECT_NEAR(millions("rect_topics(n=16384)"), 2.19, 0.03);
}

}  // namespace
}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "masks/mask.hpp"

namespace experiments::test {

/// A small mask of every family: ragged for most tiles, some without keys for some queries, some
/// rectangular either way.
inline std::vector<std::string> small_masks() {
  return {"dense(n=70)",
          "causal(n=97)",
          "window(n=130,window=9)|shuffle(seed=1)",
          "longformer(n=150,window=8,globals=3)|shuffle(seed=2)",
          "longformer(n=129,window=4,dilation=4,globals=2)",
          "longformer_paper(n=128,dilation=2,globals=fixed,seed=1)",
          "bigbird(n=140,window=6,globals=4,random=1,block=16)|shuffle(seed=3)",
          "bigbird_token(n=120,window=4,globals=2,random=2)",
          "sparse_transformer(n=100,stride=8)",
          "docs(n=150,median=20,seed=3)|shuffle(seed=4)",
          "docs(n=149,median=20,mode=prompt,seed=2)",
          "alpaca(n=256,mode=bidirectional)|shuffle(seed=5)",
          "cdw_sinks(n=160,docs=4,window=9,sinks=2)",
          "medusa(s=3,k=4)",
          "medusa_choices(n=128)|shuffle(seed=6)",
          "trees(n=130,nodes=31)",
          "rcm_paper(n=150)",
          "grid2d(n=143)|shuffle(seed=7)",
          "grid3d(n=125)|shuffle(seed=8)",
          "knn(n=140,k=5)|shuffle(seed=9)",
          "sbm(n=128,blocks=4,inside=8,outside=1)|shuffle(seed=1)",
          "rmat(n=128,edges=4)|shuffle(seed=2)",
          "er(n=150,degree=1)",  // has queries without keys
          "random(n=90,density=0.02)",
          "random_rows(n=77,k=3)",
          "rect_topics(n=200,queries=45,chunks=2)|shuffle(seed=3)",
          "rect_topics(n=200,queries=45,chunks=2)|transpose"};
}

/// "docs(n=150,...)|shuffle(seed=4)" as gtest allows it: "docs_n_150_..._seed_4".
inline std::string family_name(const testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (const char c : info.param) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (plain || (!name.empty() && name.back() != '_')) name += plain ? c : '_';
  }
  return name;
}

}  // namespace experiments::test

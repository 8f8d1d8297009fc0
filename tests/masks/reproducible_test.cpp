// SPDX-License-Identifier: Apache-2.0
//
// A mask's text stands for the same mask on every platform and in every release: its fingerprint
// is here for good. A generator that must change gets a new name.
#include <gtest/gtest.h>

#include "masks/mask.hpp"
#include "patterns.hpp"

namespace masks {
namespace {

struct Known {
  const char* text;
  std::uint64_t fingerprint;
};

class Reproducible : public testing::TestWithParam<Known> {};

TEST_P(Reproducible, TheMaskIsTheOneItAlwaysWas) {
  EXPECT_EQ(fingerprint(make(GetParam().text).pattern), GetParam().fingerprint) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Random, Reproducible,
    testing::Values(Known{"longformer_paper(n=1000,globals=timed,seed=1)", 0x8b766bac5751636dU},
                    Known{"bigbird(n=1000,seed=1)", 0x10bf6df48f4c1b8dU},
                    Known{"bigbird_token(n=1000,seed=1)", 0x9edf2a62b48d847bU},
                    Known{"docs(n=1000,median=50,mode=prompt,seed=1)", 0x40e4b775d414888dU},
                    Known{"docs(n=1000,mean=30,seed=1)", 0x79230db5ff25c82bU},
                    Known{"alpaca(n=20000,seed=1)", 0x484de7ea9dcf367bU},
                    Known{"cdw_sinks(n=1000,seed=1)", 0xefec1f53c6c52d40U},
                    Known{"trees(n=1000,seed=1)", 0x3051b1bc68e9e017U},
                    Known{"rcm_paper(n=1000,seed=1)", 0xae05f0e80779d1c9U},
                    Known{"rcm_paper(n=1000,formula=commented,seed=1)", 0xa27e0ad98c1c98e3U},
                    Known{"knn(n=1000,seed=1)", 0xeb38f3658e4791f1U},
                    Known{"sbm(n=1000,seed=1)", 0xeeeca0b74b838af7U},
                    Known{"rmat(n=1000,seed=1)", 0x2eafe0cb1f903364U},
                    Known{"er(n=1000,seed=1)", 0x7d42d5139fc7e816U},
                    Known{"random(n=1000,seed=1)", 0x1313f997323e714eU},
                    Known{"random_rows(n=1000,k=9,seed=1)", 0x5af12ce7d150960dU},
                    Known{"rect_topics(n=1000,seed=1)", 0x2454949ef77992fcU},
                    Known{"causal(n=100)|shuffle(seed=1)", 0xef547ea78a50cb97U},
                    Known{"rect_topics(n=1000,seed=1)|shuffle(seed=1)", 0x20c6d7252cb99a28U}));

}  // namespace
}  // namespace masks

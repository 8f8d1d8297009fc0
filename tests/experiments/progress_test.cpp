// SPDX-License-Identifier: Apache-2.0
#include "experiments/progress.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace experiments {
namespace {

TEST(Progress, PlainLinesWhereThereIsNoTerminal) {
  std::ostringstream out;
  {
    Progress progress(out, false, 2);
    progress.begin("causal · rcm");
    EXPECT_EQ(out.str(), "");
    progress.done("4 → 3 tiles");
    progress.begin("window · rcm");
    progress.done("failed: why");
  }
  EXPECT_EQ(out.str(),
            "[1/2] causal · rcm: 4 → 3 tiles\n"
            "[2/2] window · rcm: failed: why\n");
}

TEST(Progress, ABarThatCleansUpAfterItself) {
  std::ostringstream out;
  {
    Progress progress(out, true, 2);
    progress.begin("one");
    progress.done("");
    EXPECT_NE(out.str().find("1/2"), std::string::npos) << out.str();
    EXPECT_NE(out.str().find(" left"), std::string::npos) << out.str();
    EXPECT_EQ(out.str().find('\n'), std::string::npos);
  }
  EXPECT_TRUE(out.str().ends_with("\r\033[K"));
}

TEST(Progress, ClockText) {
  EXPECT_EQ(clock_text(7), "0:07");
  EXPECT_EQ(clock_text(754.4), "12:34");
  EXPECT_EQ(clock_text(3723), "1:02:03");
}

}  // namespace
}  // namespace experiments

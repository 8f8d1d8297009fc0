// SPDX-License-Identifier: Apache-2.0
#include "experiments/timing.hpp"

#include <gtest/gtest.h>

#include <string>

namespace experiments {
namespace {

TEST(Timing, QuartilesByHand) {
  const Timing t = summarize({5e-3, 1e-3, 3e-3, 2e-3, 4e-3});
  EXPECT_DOUBLE_EQ(t.median, 3);
  EXPECT_DOUBLE_EQ(t.q1, 2);
  EXPECT_DOUBLE_EQ(t.q3, 4);
  EXPECT_DOUBLE_EQ(t.min, 1);
  EXPECT_EQ(t.samples, 5);
  EXPECT_DOUBLE_EQ(summarize({1e-3, 2e-3}).median, 1.5);
  EXPECT_DOUBLE_EQ(summarize({7e-3}).q3, 7);
}

TEST(Timing, ArmsTakeTurnsAndTheFirstRoundIsNotKept) {
  std::string order;
  double next = 0;
  const std::vector<std::function<double()>> arms = {[&] {
                                                       order += 'a';
                                                       return next++;
                                                     },
                                                     [&] {
                                                       order += 'b';
                                                       return next++;
                                                     }};
  const auto samples = interleave(arms, {.minimum = 3, .maximum = 3, .seconds = 1000});
  EXPECT_EQ(order, "abababab");
  EXPECT_EQ(samples[0], (std::vector<double>{2, 4, 6}));
  EXPECT_EQ(samples[1], (std::vector<double>{3, 5, 7}));
}

TEST(Timing, RepeatsUntilTimeOrCountIsReached) {
  int calls = 0;
  const auto arm = [&] {
    ++calls;
    return 0.5;
  };
  EXPECT_EQ(repeat(arm, {.minimum = 4, .maximum = 10, .seconds = 0}).samples, 4);
  EXPECT_EQ(calls, 4);
  // A first sample that used up the time is enough where one is.
  EXPECT_EQ(repeat(arm, {.minimum = 1, .maximum = 10, .seconds = 2}, {3.0}).samples, 1);
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(repeat(arm, {.minimum = 1, .maximum = 3, .seconds = 1e9}, {0.1}).samples, 3);
}

}  // namespace
}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/break_even.hpp"

#include <gtest/gtest.h>

namespace experiments {
namespace {

Timing ms(double median) {
  return {median, median, median, median, 1};
}

/// Ordering 20, permuting 3, building 2 against 1: 24 to pay once.
Record record() {
  Record r;
  r.ordering.reordered = true;
  Times t;
  t.ordering = ms(20);
  t.permute = ms(3);
  t.build_natural = ms(1);
  t.build_permuted = ms(2);
  r.ms = t;
  return r;
}

std::vector<double> seconds(std::vector<double> milliseconds) {
  for (double& value : milliseconds) value *= 1e-3;
  return milliseconds;
}

TEST(BreakEven, TakesTheFasterWayAndRoundsUp) {
  Record r = record();
  set_break_even(r, {seconds({10, 10}), seconds({8, 8}), seconds({7, 7})});
  EXPECT_EQ(r.best_path, "gathered");
  EXPECT_DOUBLE_EQ(*r.permuted_call_ms, 7);
  EXPECT_EQ(r.break_even_calls, 8);  // 24 / (10 - 7)

  set_break_even(r, {seconds({10, 10}), seconds({5, 5}), seconds({7, 7})});
  EXPECT_EQ(r.best_path, "fused");
  EXPECT_EQ(r.break_even_calls, 5);  // 24 / 5 = 4.8
}

TEST(BreakEven, ComparesWithinARound) {
  // The machine halves its speed in the middle: every round saves a fifth all the same.
  Record r = record();
  set_break_even(r, {seconds({10, 10, 20, 20}), seconds({8, 8, 16, 16}), {}});
  EXPECT_DOUBLE_EQ(r.saved_ms->median, 3);
  EXPECT_EQ(r.break_even_calls, 8);
}

TEST(BreakEven, NeverWhenNothingIsSavedForSure) {
  Record r = record();
  set_break_even(r, {seconds({10, 10}), seconds({10, 10}), seconds({12, 12})});
  EXPECT_FALSE(r.break_even_calls.has_value());
  EXPECT_DOUBLE_EQ(*r.permuted_call_ms, 10);
  // Faster in the median, but only by chance.
  set_break_even(r, {seconds({10, 10, 10, 10, 10}), seconds({9, 11, 9, 11, 9}), {}});
  EXPECT_DOUBLE_EQ(*r.permuted_call_ms, 9);
  EXPECT_FALSE(r.break_even_calls.has_value());
}

TEST(BreakEven, AtLeastOneCallEvenWhenTheMaskIsCheaperToBuild) {
  Record r = record();
  r.ms->build_natural = ms(100);
  set_break_even(r, {seconds({10}), seconds({5}), seconds({7})});
  EXPECT_EQ(r.break_even_calls, 1);
}

TEST(BreakEven, NothingToPayInTheNaturalOrder) {
  Record r = record();
  r.ordering.reordered = false;
  set_break_even(r, {seconds({10}), {}, {}});
  EXPECT_EQ(r.best_path, "natural");
  EXPECT_FALSE(r.break_even_calls.has_value());
  EXPECT_FALSE(r.permuted_call_ms.has_value());
}

TEST(BreakEven, ADeviceHasNoGatheredWay) {
  Record r = record();
  set_break_even(r, {seconds({10}), seconds({8}), {}});
  EXPECT_EQ(r.best_path, "fused");
}

}  // namespace
}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/break_even.hpp"

#include <gtest/gtest.h>

namespace experiments {
namespace {

Timing ms(double median) {
  return {median, median, median, median, 1};
}

/// Ordering 20, permuting 3, building 2 against 1, natural call 10.
Record record(double fused, double gathered) {
  Record r;
  r.ordering.reordered = true;
  Times t;
  t.ordering = ms(20);
  t.permute = ms(3);
  t.build_natural = ms(1);
  t.build_permuted = ms(2);
  t.natural = ms(10);
  t.fused = ms(fused);
  t.gather = ms(1);
  t.permuted = ms(gathered - 1.5);
  t.scatter = ms(0.5);
  r.ms = t;
  return r;
}

TEST(BreakEven, TakesTheFasterWayAndRoundsUp) {
  Record r = record(8, 7);
  set_break_even(r);
  EXPECT_EQ(r.best_path, "gathered");
  EXPECT_DOUBLE_EQ(*r.permuted_call_ms, 7);
  EXPECT_EQ(r.break_even_calls, 8);  // (20 + 3 + 2 - 1) / (10 - 7)

  r = record(5, 7);
  set_break_even(r);
  EXPECT_EQ(r.best_path, "fused");
  EXPECT_EQ(r.break_even_calls, 5);  // 24 / 5 = 4.8
}

TEST(BreakEven, NeverWhenNothingIsSaved) {
  Record r = record(10, 12);
  set_break_even(r);
  EXPECT_FALSE(r.break_even_calls.has_value());
  EXPECT_DOUBLE_EQ(*r.permuted_call_ms, 10);
}

TEST(BreakEven, AtLeastOneCallEvenWhenTheMaskIsCheaperToBuild) {
  Record r = record(5, 7);
  r.ms->build_natural = ms(100);
  set_break_even(r);
  EXPECT_EQ(r.break_even_calls, 1);
}

TEST(BreakEven, NothingToPayInTheNaturalOrder) {
  Record r = record(5, 7);
  r.ordering.reordered = false;
  set_break_even(r);
  EXPECT_EQ(r.best_path, "natural");
  EXPECT_FALSE(r.break_even_calls.has_value());
  EXPECT_FALSE(r.permuted_call_ms.has_value());
}

TEST(BreakEven, ADeviceHasNoGatheredWay) {
  Record r = record(8, 7);
  r.ms->gather.reset();
  r.ms->scatter.reset();
  set_break_even(r);
  EXPECT_EQ(r.best_path, "fused");
}

}  // namespace
}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "reorder/budget.hpp"

#include <gtest/gtest.h>

#include "expect_error.hpp"
#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

TEST(Budget, SecondsBecomeWorkByTheRateAndGetAGuard) {
  EXPECT_EQ(parse_budget("0.5s", 1000), (Budget{.work = 500, .guard_seconds = 1}));
  EXPECT_EQ(parse_budget("5s"), (Budget{.work = 1'250'000'000, .guard_seconds = 10}));
  EXPECT_EQ(parse_budget("1e-9s", 1000).work, 1) << "a budget is never the strategy's default";
  EXPECT_GT(parse_budget("1000000s", 1e300).work, 0) << "out of range of any work";
}

TEST(Budget, WorkIsTakenAsItIsAndHasNoGuard) {
  EXPECT_EQ(parse_budget("work:1234567890123"), (Budget{.work = 1'234'567'890'123}));
  EXPECT_EQ(parse_budget("work:7", 1e9), (Budget{.work = 7}));
}

TEST(Budget, OtherTextIsRefused) {
  using testing::expect_error;
  for (const char* text : {"", "s", "5", "5 s", "5m", "five s", "work:", "work:5s", "work:1.5",
                           "Work:5", "0x5s", "5ss", "+5s"}) {
    expect_error(ErrorCode::syntax, "write seconds as 5s or 0.3s, or work as work:", [&] {
      (void)parse_budget(text);
    });
  }
  for (const char* text : {"0s", "-1s", "nans", "infs", "1000001s"}) {
    expect_error(ErrorCode::invalid_argument, "must be above 0s and at most 1000000s",
                 [&] { (void)parse_budget(text); });
  }
  expect_error(ErrorCode::invalid_argument, "at least work:1",
               [] { (void)parse_budget("work:0"); });
  expect_error(ErrorCode::invalid_argument, "too large to read",
               [] { (void)parse_budget("work:9223372036854775808"); });
}

class AutoBudget : public ::testing::Test {
 protected:
  Pipeline::Result run(const char* pipeline, const Budget& budget, int threads = 1) const {
    return Pipeline::parse(pipeline, registry_)
        .run(mask_, {.objective = Objective::tiles({8, 8}),
                     .seed = 1,
                     .threads = threads,
                     .budget = budget});
  }

  Registry registry_ = Registry::with_builtins();
  Csr mask_ = testing::random_pattern(200, 200, 1500, 5);
};

TEST_F(AutoBudget, IsTheCallersUnlessThePipelineSaysAnother) {
  testing::Entries diagonal;  // nothing to gain: no budget is spent
  for (std::int32_t i = 0; i < 64; ++i) diagonal.emplace_back(i, i);
  mask_ = Csr::from_entries(64, 64, diagonal);
  EXPECT_EQ(run("auto", {.work = 12345}).report.choice->work_limit, 12345);
  EXPECT_EQ(run("auto(work=99)", {.work = 12345}).report.choice->work_limit, 99);
  EXPECT_EQ(run("auto(seconds=0.001)", {.work = 12345}).report.choice->work_limit, 250'000);
  EXPECT_EQ(run("auto", {}).report.choice->work_limit, 1'250'000'000);
}

TEST_F(AutoBudget, IsKept) {
  for (const std::int64_t work : {1, 10'000, 1'000'000, 10'000'000}) {
    const auto report = run("auto", {.work = work}).report;
    EXPECT_GT(report.choice->work, 0);
    // The first look at the mask is always taken.
    EXPECT_LE(report.choice->work, std::max<std::int64_t>(work, 2 * mask_.nnz())) << work;
    std::int64_t sum = 0;
    for (const CandidateReport& candidate : report.candidates) sum += candidate.work;
    // What a search found not worth its while is in no candidate.
    EXPECT_LE(sum, report.choice->work + static_cast<std::int64_t>(report.candidates.size()));
  }
}

TEST_F(AutoBudget, WhatTheReportPrintsGivesTheSameAnswerAgain) {
  Budget budget = parse_budget("0.02s");
  budget.guard_seconds = 1000;  // this machine may be a slow one
  const auto first = run("auto", budget);
  const Budget again{.work = first.report.choice->work_limit};
  for (const int threads : {1, 2, 8}) {
    EXPECT_EQ(run("auto", again, threads).ordering, first.ordering) << threads << " threads";
  }
}

TEST_F(AutoBudget, AGuardThatFiresIsReported) {
  const auto cut = run("auto", {.work = 10'000'000, .guard_seconds = 1e-9}).report;
  EXPECT_TRUE(cut.choice->budget_cut);
  EXPECT_LE(cut.after.nonempty, cut.before.nonempty);
  EXPECT_FALSE(run("auto", {.work = 10'000'000}).report.choice->budget_cut);
}

}  // namespace
}  // namespace reorder

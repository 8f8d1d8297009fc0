// SPDX-License-Identifier: Apache-2.0
#include "experiments/calibration.hpp"

#include <gtest/gtest.h>

#include "experiments/exit_code.hpp"
#include "experiments/fit.hpp"
#include "experiments/parameters.hpp"
#include "experiments/support.hpp"
#include "masks/mask.hpp"
#include "reorder/error.hpp"
#include "reorder/files.hpp"

namespace experiments {
namespace {

BackendCost a_cost(int threads = 2) {
  BackendCost cost;
  cost.backend = "cpu";
  cost.dtype = "f32";
  cost.head_dim = 64;
  cost.tile = "128x128";
  cost.threads = threads;
  cost.t_full = 0.04;
  cost.t_partial = 0.05;
  cost.t_row = 0.01;
  cost.t_gather = 0.001;
  return cost;
}

template <class Work>
void expect_message(const std::string& part, Work work) {
  try {
    work();
    ADD_FAILURE() << "no error; expected one with \"" << part << "\"";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Fit, FindsWhatWasPlanted) {
  std::vector<CostPoint> points;
  for (const auto& [full, partial] : {std::pair{100, 3}, {0, 50}, {30, 30}, {1, 200}, {7, 0}}) {
    points.push_back({.full = double(full), .partial = double(partial), .rows = 16});
    points.back().ms = 0.5 * full + 0.75 * partial + 0.125 * 16;
  }
  const CostFit fit = fit_costs(points);
  EXPECT_NEAR(fit.t_full, 0.5, 1e-12);
  EXPECT_NEAR(fit.t_partial, 0.75, 1e-12);
  EXPECT_NEAR(fit.t_row, 0.125, 1e-12);
  EXPECT_NEAR(fit.r2, 1, 1e-12);
  EXPECT_NEAR(fit.worst, 0, 1e-12);
}

TEST(Fit, IsNeverNegativeAndNamesTheWorst) {
  // More rows, less time: only a negative t_row would fit.
  const std::vector<CostPoint> points{{.full = 10, .rows = 1, .ms = 10},
                                      {.full = 10, .rows = 100, .ms = 9},
                                      {.full = 20, .rows = 50, .ms = 20}};
  const CostFit fit = fit_costs(points);
  EXPECT_GE(fit.t_row, 0);
  EXPECT_GE(fit.t_partial, 0);
  EXPECT_NEAR(fit.t_full, 0.96, 0.05);
  EXPECT_GT(fit.worst, 0.01);
  EXPECT_NEAR(fit_costs(std::vector<CostPoint>{{.full = 5, .ms = 10}}).t_full, 2, 1e-12);
}

TEST(Fit, FindsHowManyRowsGoOnAtOnce) {
  const CostFit planted{.t_full = 0.01, .t_row = 0.02, .t_call = 5, .rows_at_once = 100};
  std::vector<CostPoint> points;
  for (const double heads : {1.0, 4.0, 16.0, 64.0}) {
    for (const double heaviest : {20.0, 400.0}) {
      for (const double rows : {16.0, 96.0}) {
        points.push_back({.full = heads * (20 * (rows - 1) + heaviest),
                          .rows = heads * rows,
                          .calls = 1,
                          .heaviest_full = heaviest});
        points.back().ms = planted.predict(points.back());
      }
    }
  }
  const CostFit fit = fit_costs(points);
  EXPECT_NEAR(fit.rows_at_once, 100, 0.1) << "it is found in steps of 0.1 %";
  EXPECT_NEAR(fit.t_full, 0.01, 1e-4);
  EXPECT_NEAR(fit.t_call, 5, 0.05);
  EXPECT_LT(fit.worst, 0.001);
}

TEST(Fit, ACallEndsNoSoonerThanItsHeaviestRow) {
  const CostFit fit{.t_full = 1, .rows_at_once = 8};
  // 40 rows of one part, 8 at once: 40 shares and half a row that the last one lags.
  EXPECT_DOUBLE_EQ(fit.predict({.full = 40, .rows = 40, .heaviest_full = 1}), 44);
  // The same with a row of ten: it alone takes 80 shares.
  EXPECT_DOUBLE_EQ(fit.predict({.full = 49, .rows = 40, .heaviest_full = 10}), 80);
  // Four rows, all at once: nobody waits for a last one.
  EXPECT_DOUBLE_EQ(fit.predict({.full = 4, .rows = 4, .heaviest_full = 1}), 8);
}

TEST(CallCost, CountsPartsStepsAndRows) {
  // Rows 0 to 3 see keys 0 to 3, row 4 key 5: of 2 x 2 parts four are full and one is not; of
  // steps of 4 x 2 the first row takes two, the second one.
  const reorder::Csr mask{
      6, 6, {0, 4, 8, 12, 16, 17, 17}, {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 5}};
  const auto natural = reorder::Ordering::identity(6, 6);
  WalkCounts counts = count_walk(mask, natural, {{2, 2}, {4, 2}});
  EXPECT_EQ(counts.full, 4);
  EXPECT_EQ(counts.partial, 1);
  EXPECT_EQ(counts.steps, 3);
  EXPECT_EQ(counts.rows, 2);
  EXPECT_EQ(counts.heaviest_full, 4);
  EXPECT_EQ(counts.heaviest_partial, 0);
  EXPECT_EQ(counts.heaviest_steps, 2);
  const CostPoint point = cost_point(counts, 7);
  EXPECT_EQ(point.full, 28);
  EXPECT_EQ(point.steps, 21);
  EXPECT_EQ(point.calls, 1);
  counts = count_walk(mask, natural, {{2, 2}, {2, 2}});
  EXPECT_EQ(counts.steps, 5) << "a step is a part";
  EXPECT_EQ(counts.rows, 3);
  EXPECT_EQ(counts.heaviest_steps, 2);
}

TEST(CallCost, CountsACutRowAsItsParts) {
  // Row 0 sees all 32 keys, 16 steps of 2 x 2; the others of the 16 rows of steps one key each.
  std::vector<std::pair<std::int32_t, std::int32_t>> entries;
  for (std::int32_t i = 0; i < 32; ++i) entries.insert(entries.end(), {{0, i}, {i, i}});
  const reorder::Csr mask = reorder::Csr::from_entries(32, 32, entries);
  const auto natural = reorder::Ordering::identity(32, 32);
  attn::Walk walk{{2, 2}, {2, 2}};
  EXPECT_EQ(count_walk(mask, natural, walk).heaviest_steps, 16);
  walk.processors = 100;
  walk.shortest_cut = 12;  // 6 steps; 4 mean rows are 4
  const WalkCounts counts = count_walk(mask, natural, walk);
  EXPECT_EQ(counts.heaviest_steps, 4);
  EXPECT_EQ(counts.steps, 31);
  EXPECT_EQ(counts.rows, 16 + 3);
  walk.processors = 3;  // whose share of 31 steps is 10
  EXPECT_EQ(count_walk(mask, natural, walk).heaviest_steps, 8);
}

TEST(CallCost, FindsWhatWasPlantedAndPredictsWithIt) {
  const attn::Walk walk{{8, 8}, {24, 16}};
  std::vector<CostPoint> points;
  for (const char* text : {"dense(n=96)", "causal(n=96)", "window(n=96,window=3)", "docs(n=96)",
                           "random(n=96,density=0.02)", "dense(n=24)", "causal(n=24)"}) {
    const auto pattern = masks::make(text).pattern;
    const auto natural = reorder::Ordering::identity(pattern.n_rows(), pattern.n_cols());
    points.push_back(cost_point(count_walk(pattern, natural, walk), 5));
    CostPoint& p = points.back();
    p.ms = 2 + 0.01 * p.full + 0.02 * p.partial + 0.04 * p.steps + 0.3 * p.rows;
  }
  const CallCost cost = fit_calls(points, walk);
  EXPECT_EQ(cost.part, "8x8");
  EXPECT_EQ(cost.step, "24x16");
  EXPECT_NEAR(cost.t_call, 2, 1e-9);
  EXPECT_NEAR(cost.t_full, 0.01, 1e-9);
  EXPECT_NEAR(cost.t_partial, 0.02, 1e-9);
  EXPECT_NEAR(cost.t_step, 0.04, 1e-9);
  EXPECT_NEAR(cost.t_row, 0.3, 1e-9);
  EXPECT_NEAR(cost.worst, 0, 1e-9);
  const auto causal = masks::make("causal(n=96)").pattern;
  EXPECT_NEAR(predict(cost, causal, reorder::Ordering::identity(96, 96), 5), points[1].ms, 1e-9);
}

TEST(Calibration, ComesBackAsItWasWritten) {
  const test::TempDir dir;
  const auto file = dir / "machine.json";
  Calibration calibration;
  calibration.work_per_second = 3e8;
  add(calibration, a_cost());
  write_calibration(file, calibration);
  const Calibration back = read_calibration(file);
  EXPECT_EQ(encode(back), encode(calibration));
  EXPECT_EQ(back.version, kCalibrationVersion);
}

TEST(Calibration, ASettingIsReplacedAndOthersAreKept) {
  Calibration calibration;
  add(calibration, a_cost(1));
  add(calibration, a_cost(2));
  BackendCost again = a_cost(1);
  again.t_full = 9;
  add(calibration, again);
  ASSERT_EQ(calibration.costs.size(), 2U);
  EXPECT_EQ(calibration.costs[0].t_full, 9);

  Problem problem;
  problem.threads = 2;
  EXPECT_EQ(cost_of(calibration, problem, "f").threads, 2);
  problem.threads = 1;
  EXPECT_EQ(cost_of(calibration, problem, "f").threads, 1);
  problem.head_dim = 128;
  expect_message("f has no costs of cpu f32 D=128 tile 128x128; it has cpu f32 D=64 tile 128x128",
                 [&] { (void)cost_of(calibration, problem, "f"); });
}

TEST(Calibration, BadFilesAreToldBySentence) {
  const test::TempDir dir;
  const auto file = dir / "machine.json";
  const auto expect_bad = [&](const std::string& text, const std::string& part) {
    reorder::write_file(file, text);
    expect_message(part, [&] { (void)read_calibration(file); });
    expect_message(file.string(), [&] { (void)read_calibration(file); });
  };
  expect_bad("{", ":1:2: not JSON: expected a key in quotes, found the end");
  expect_bad("[1]", "`blockfill calibrate -o FILE` writes one");
  expect_bad(R"({"format": "other"})", "`blockfill calibrate -o FILE` writes one");
  expect_bad(R"({"format": "blockfill calibration", "version": 7})",
             "version 7, this program reads version 1");
  Calibration calibration;
  add(calibration, a_cost());
  const auto changed = [&](const char* name, const Json& value) {
    Json json = encode(calibration);
    json["costs"][0][name] = value;
    return json.dump();
  };
  expect_bad(changed("t_partial", -1), "costs[0].t_partial is -1.0");
  expect_bad(changed("t_full", nullptr), "costs[0].t_full is null");
  expect_bad(changed("t_row", "much"), "costs[0].t_row holds \"much\", expected a number");
  expect_bad(changed("backend", 3), "costs[0].backend holds 3, expected text");
  expect_bad(changed("call", {{"t_row", {1, 2}}}),
             "costs[0].call.t_row holds an array, expected a number");
  expect_bad(R"({"costs": {}})", "costs holds an object, expected a list");
  expect_bad(R"({"costs": [3]})", "costs[0] holds 3, expected an object");
  expect_bad(changed("call", {{"part", "64"}, {"step", "64x64"}}),
             "costs[0].call.part: '64' is not a tile shape");
  expect_bad(changed("call", {{"part", "64x64"}, {"step", "64x64"}, {"t_row", -2}}),
             "costs[0].call.t_row is -2.0");
  expect_bad(changed("tile", "128"), "costs[0].tile: '128' is not a tile shape");
  Json nothing = encode(calibration);
  nothing["costs"][0]["t_full"] = nothing["costs"][0]["t_partial"] = 0;
  expect_bad(nothing.dump(), "both 0");
  expect_message("cannot", [&] { (void)read_calibration(dir / "absent.json"); });
}

class WithCalibration : public ::testing::Test {
 protected:
  WithCalibration() {
    Calibration calibration;
    calibration.work_per_second = 1000;
    add(calibration, a_cost());
    write_calibration(file_, calibration);
  }
  test::TempDir dir_;
  std::string file_ = (dir_ / "machine.json").string();
  Problem problem_;
};

TEST(Calibration, TheModelOfACallIsTheObjectiveWhereTilesHaveParts) {
  BackendCost cost = a_cost();
  cost.box = 8;
  cost.call = CallCost{.part = "64x64",
                       .step = "192x128",
                       .t_call = 9,
                       .t_full = 1,
                       .t_partial = 2,
                       .t_step = 3,
                       .t_row = 4};
  EXPECT_EQ(reorder::to_string(objective_of(cost)),
            "cost_model{192,128,t_full=1,t_partial=2,t_row=4,t_gather=0.001,part_rows=64,"
            "part_cols=64,t_tile=3,box=8}");
  cost.call->part = cost.call->step;
  EXPECT_EQ(reorder::to_string(objective_of(cost)),
            "cost_model{128,128,t_full=0.04,t_partial=0.05,t_row=0.01,t_gather=0.001,box=8}");
}

TEST_F(WithCalibration, ItsCostsAreTheObjective) {
  const std::string text =
      "cost_model{128,128,t_full=0.04,t_partial=0.05,t_row=0.01,t_gather=0.001}";
  problem_.cost_model = file_;
  EXPECT_EQ(reorder::to_string(objective_of(problem_)), text);
  problem_.objective = "tiles{64,64}";
  EXPECT_EQ(objective_of(problem_), reorder::Objective::tiles({64, 64}));
  problem_.cost_model = "";
  problem_.objective = "cost_model{file=\"" + file_ + "\"}";
  EXPECT_EQ(reorder::to_string(objective_of(problem_)), text);
  problem_.backend = "reference";
  expect_message("has no costs of reference", [&] { (void)objective_of(problem_); });
}

TEST_F(WithCalibration, ItsRateTurnsSecondsIntoWork) {
  problem_.budget = "2s";
  EXPECT_EQ(context_of(problem_).budget.work, 500'000'000);
  problem_.cost_model = file_;
  EXPECT_EQ(context_of(problem_).budget.work, 2000);
  problem_.budget = "work:77";
  EXPECT_EQ(context_of(problem_).budget.work, 77);
}

TEST(Calibration, AFormNeedsABackendThatRunsItAndItsTile) {
  Problem problem;
  problem.mask = "causal(n=64)";
  problem.objective = "gather{128,128}";
  EXPECT_NO_THROW(validate(problem));
  problem.backend = "reference";
  expect_message("backend reference does not run gathered masks, as gather{128,128} asks for",
                 [&] { validate(problem); });
  problem.backend = "cpu";
  problem.tile = "64x64";
  expect_message("is for tiles of 128x128, but --tile is 64x64", [&] { validate(problem); });
  problem.objective = "tiles_min{64,64,theta=4,lambda=0.1}";
  EXPECT_NO_THROW(validate(problem));
  problem.pass = "both";
  expect_message("no backward pass", [&] { validate(problem); });
}

TEST(Calibration, KeysOfProblemsWithoutStayWhatTheyWere) {
  Problem problem;
  problem.mask = "causal(n=8)";
  const std::string key = key_of(problem);
  EXPECT_EQ(key.find("budget"), std::string::npos) << key;
  problem.budget = "5s";
  EXPECT_NE(key_of(problem), key);
  EXPECT_NE(key_of(problem).find("budget=5s"), std::string::npos);
}

}  // namespace
}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "reorder/pipeline.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "expect_error.hpp"
#include "patterns.hpp"
#include "reorder/npy.hpp"
#include "temp_folder.hpp"

namespace reorder {
namespace {

using testing::expect_error;

const Context kContext{.objective = Objective::tiles({.rows = 8, .cols = 8}), .seed = 7};

/// A strategy of a test: what it returns is decided by a function.
class Fake final : public Strategy {
 public:
  using Function = std::function<Ordering(const CsrView&)>;
  Fake(StrategyInfo info, Function function)
      : info_(std::move(info)), function_(std::move(function)) {}
  [[nodiscard]] const StrategyInfo& info() const override { return info_; }
  [[nodiscard]] Ordering order(const CsrView& mask, const Params&, const Context&) const override {
    return function_(mask);
  }

 private:
  StrategyInfo info_;
  Function function_;
};

Registry registry_with(const std::string& name, Fake::Function function,
                       StrategyInfo info = {.name = {}, .summary = "a test's"}) {
  Registry registry = Registry::with_builtins();
  info.name = name;
  registry.add(std::make_shared<Fake>(std::move(info), std::move(function)));
  return registry;
}

Csr shuffled_path(std::int32_t n) {
  return permute(testing::path(n), Ordering::same(testing::random_permutation(n, 1)));
}

TEST(Pipeline, StagesSeeWhatTheStagesBeforeLeft) {
  // The second stage is handed the path in order, and reverses it.
  std::vector<std::int32_t> bandwidths;
  const Registry registry = registry_with("look", [&](const CsrView& mask) {
    const Ordering same = Ordering::identity(mask.n_rows, mask.n_cols);
    bandwidths.push_back(static_cast<std::int32_t>(envelope(mask, same).bandwidth));
    std::vector<std::int32_t> reversed(static_cast<std::size_t>(mask.n_rows));
    for (std::int32_t i = 0; i < mask.n_rows; ++i) {
      reversed[static_cast<std::size_t>(i)] = mask.n_rows - 1 - i;
    }
    return Ordering::same(Permutation(std::move(reversed)));
  });
  const Csr mask = shuffled_path(64);
  const auto rcm = Pipeline::parse("rcm", registry).run(mask, kContext);
  const auto both = Pipeline::parse("rcm|look", registry).run(mask, kContext);
  EXPECT_EQ(bandwidths, std::vector<std::int32_t>{1});
  for (std::int32_t i = 0; i < 64; ++i) {
    EXPECT_EQ(both.ordering.rows[i], rcm.ordering.rows[63 - i]) << i;
  }
  EXPECT_TRUE(both.ordering.symmetric);
}

TEST(Pipeline, ReportsWhatHappened) {
  const Registry registry = Registry::with_builtins();
  const Csr mask = shuffled_path(64);
  const auto result = Pipeline::parse("random | peel(4)| rcm", registry).run(mask, kContext);
  const Report& report = result.report;
  EXPECT_EQ(report.pipeline, "random|peel(4)|rcm");
  EXPECT_EQ(report.objective, "tiles{8,8}");
  EXPECT_EQ(report.seed, 7u);
  EXPECT_EQ(report.before.nonempty, count_tiles(mask, {8, 8}).nonempty);
  EXPECT_EQ(report.after.nonempty, count_tiles(mask, result.ordering, {8, 8}).nonempty);
  EXPECT_EQ(report.after.nonempty, 22) << "8 tiles on the diagonal and 7 on each side";
  EXPECT_EQ(report.lower_bound, 8);
  ASSERT_EQ(report.stages.size(), 3u);
  EXPECT_EQ(report.stages[0].stage, "random");
  EXPECT_GT(report.stages[0].tiles->nonempty, 40);
  EXPECT_EQ(report.stages[1].stage, "peel(4)");
  EXPECT_FALSE(report.stages[1].tiles.has_value());
  EXPECT_EQ(report.stages[2].tiles->nonempty, 22);
  EXPECT_GE(report.seconds, 0);
}

TEST(Pipeline, TextsThatDoNotParse) {
  const Registry registry = Registry::with_builtins();
  const auto parse = [&](const char* text) { (void)Pipeline::parse(text, registry); };
  expect_error(ErrorCode::unknown_name, "there is no strategy 'rmc'; did you mean 'rcm'?",
               [&] { parse("natural|rmc"); });
  expect_error(ErrorCode::unknown_name, "did you mean 'best_of'?", [&] { parse("bestof(rcm)"); });
  expect_error(ErrorCode::syntax, "rcm takes no parameters, not 1", [&] { parse("rcm(1)"); });
  expect_error(ErrorCode::invalid_argument, "theta is 0, but must be at least 1",
               [&] { parse("peel(0)"); });
  expect_error(ErrorCode::syntax, "needs at least one pipeline", [&] { parse("best_of()"); });
  expect_error(ErrorCode::syntax, "takes pipelines, but '3' is none",
               [&] { parse("best_of(rcm,3)"); });
  expect_error(ErrorCode::syntax, "takes pipelines, but 'x=rcm' is none",
               [&] { parse("best_of(x=rcm)"); });
  expect_error(ErrorCode::syntax, "column 1", [&] { parse(""); });
}

TEST(Pipeline, ChecksWhatStrategiesReturn) {
  const Csr mask = testing::path(4);
  const auto run = [&](Fake::Function function) {
    (void)Pipeline::parse("bad", registry_with("bad", std::move(function))).run(mask, kContext);
  };
  expect_error(ErrorCode::not_a_permutation,
               "bad: returned an order of 3 rows and 4 columns for a mask of 4 x 4", [&] {
                 run([](const CsrView&) {
                   return Ordering{Permutation::identity(3), Permutation::identity(4), false};
                 });
               });
  expect_error(ErrorCode::not_a_permutation, "called them symmetric", [&] {
    run([](const CsrView&) {
      return Ordering{Permutation::identity(4), Permutation({1, 0, 2, 3}), true};
    });
  });
  expect_error(ErrorCode::not_a_permutation, "bad: index 0 stands at place 0 and again", [&] {
    run([](const CsrView&) { return Ordering::same(Permutation({0, 0, 1, 2})); });
  });
}

TEST(Pipeline, RefusesRectangularMasksForStrategiesOfSquareOnes) {
  const Registry registry = registry_with(
      "squares", [](const CsrView& m) { return Ordering::identity(m.n_rows, m.n_cols); },
      {.name = {}, .summary = {}, .capabilities = {.rectangular = false}});
  expect_error(
      ErrorCode::invalid_argument, "squares: needs a square mask, but this one is 2 x 3", [&] {
        (void)Pipeline::parse("squares", registry).run(Csr::from_entries(2, 3, {}), kContext);
      });
}

TEST(BestOf, KeepsTheBestAndReportsAll) {
  const Registry registry = Registry::with_builtins();
  const Csr mask = shuffled_path(64);
  const auto result =
      Pipeline::parse("best_of(random,rcm,rcm|natural)", registry).run(mask, kContext);
  EXPECT_EQ(result.report.pipeline, "best_of(natural,random,rcm,rcm|natural)");
  ASSERT_EQ(result.report.candidates.size(), 4u);
  EXPECT_EQ(result.report.candidates[2].pipeline, "rcm");
  EXPECT_TRUE(result.report.candidates[2].chosen) << "the first of equals";
  EXPECT_FALSE(result.report.candidates[3].chosen);
  EXPECT_EQ(result.report.candidates[2].objective, 22);
  EXPECT_EQ(result.report.candidates[3].objective, 22);
  EXPECT_EQ(result.report.after.nonempty, 22);
}

TEST(BestOf, NaturalAlwaysTakesPart) {
  const Registry registry = Registry::with_builtins();
  const auto result = Pipeline::parse("best_of(random)", registry).run(testing::path(64), kContext);
  EXPECT_TRUE(result.ordering.rows.is_identity());
  EXPECT_TRUE(result.report.candidates[0].chosen);
  // Given, it keeps its place.
  EXPECT_EQ(Pipeline::parse("best_of(rcm,natural)", registry).to_string(), "best_of(rcm,natural)");
}

TEST(BestOf, JudgesByTheObjectiveOfTheContext) {
  // Gathering does not care for columns, so natural, the first of equals, wins against an order
  // of columns that makes the tiles fewer.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 16; ++i) {
    for (std::int32_t j = i / 8; j < 16; j += 2) entries.emplace_back(i, j);
  }
  const Csr mask = Csr::from_entries(16, 16, entries);
  const Registry registry = registry_with("evens", [](const CsrView& m) {
    std::vector<std::int32_t> order;
    for (std::int32_t parity : {0, 1}) {
      for (std::int32_t j = parity; j < m.n_cols; j += 2) order.push_back(j);
    }
    return Ordering{Permutation::identity(m.n_rows), Permutation(std::move(order)), false};
  });
  const Pipeline pipeline = Pipeline::parse("best_of(evens)", registry);
  const auto tiles = pipeline.run(mask, {.objective = parse_objective("tiles{8,8}")});
  EXPECT_EQ(tiles.report.after.nonempty, 2);
  const auto gather = pipeline.run(mask, {.objective = parse_objective("gather{8,8}")});
  EXPECT_TRUE(gather.ordering.cols.is_identity());
  EXPECT_EQ(gather.report.candidates[0].objective, 2);
}

TEST(BestOf, AFailingCandidateIsReportedNotFatal) {
  Registry registry = registry_with(
      "fails", [](const CsrView&) -> Ordering { throw Error(ErrorCode::plugin, "no luck"); });
  StrategyInfo info{.name = "lacking", .summary = {}};
  info.unavailable = "built without it";
  registry.add(std::make_shared<Fake>(info, [](const CsrView&) { return Ordering(); }));
  const auto result =
      Pipeline::parse("best_of(fails,lacking(),rcm)", registry).run(shuffled_path(64), kContext);
  ASSERT_EQ(result.report.candidates.size(), 4u);
  EXPECT_EQ(result.report.candidates[1].error, "fails: no luck");
  EXPECT_EQ(result.report.candidates[2].error, "lacking is unavailable: built without it");
  EXPECT_TRUE(result.report.candidates[3].chosen);
  // Alone, both are errors.
  expect_error(ErrorCode::unavailable, "lacking is unavailable",
               [&] { (void)Pipeline::parse("lacking", registry); });
  expect_error(ErrorCode::plugin, "fails: no luck",
               [&] { (void)Pipeline::parse("fails", registry).run(testing::path(4), kContext); });
  // A name that nobody has is a mistake, not a missing part.
  expect_error(ErrorCode::unknown_name, "there is no strategy 'rcmm'",
               [&] { (void)Pipeline::parse("best_of(rcmm)", registry); });
}

TEST(BestOf, BehindAReductionJudgesTheWhole) {
  // Two hubs shift the rest by two: what is best for the rest alone need not be best here, and the
  // reported objective is the whole mask's.
  testing::Entries entries = testing::path_entries(64);
  for (std::int32_t i = 0; i < 64; ++i) {
    for (const std::int32_t hub : {20, 40}) {
      entries.emplace_back(hub, i);
      entries.emplace_back(i, hub);
    }
  }
  const Csr mask = permute(Csr::from_entries(64, 64, entries),
                           Ordering::same(testing::random_permutation(64, 9)));
  const Registry registry = Registry::with_builtins();
  const auto result = Pipeline::parse("peel|best_of(random,rcm)", registry).run(mask, kContext);
  ASSERT_EQ(result.report.candidates.size(), 3u);
  EXPECT_TRUE(result.report.candidates[2].chosen);
  EXPECT_EQ(result.report.candidates[2].objective,
            static_cast<double>(result.report.after.nonempty));
  EXPECT_TRUE(result.ordering.symmetric);
}

TEST(BestOf, MayBeNested) {
  const Registry registry = Registry::with_builtins();
  const auto result =
      Pipeline::parse("best_of(random|best_of(random,rcm),peel|rcm)|natural", registry)
          .run(shuffled_path(64), kContext);
  EXPECT_EQ(result.report.after.nonempty, 22);
  EXPECT_EQ(result.report.candidates.size(), 3u) << "the outer candidates alone";
}

TEST(Registry, RefusesNamesThatAreTakenOrNone) {
  Registry registry = Registry::with_builtins();
  const auto add = [&](const char* name) {
    registry.add(std::make_shared<Fake>(StrategyInfo{.name = name, .summary = {}},
                                        [](const CsrView&) { return Ordering(); }));
  };
  expect_error(ErrorCode::invalid_argument, "already is a strategy 'rcm'", [&] { add("rcm"); });
  expect_error(ErrorCode::invalid_argument, "already is a strategy 'best_of'",
               [&] { add("best_of"); });
  expect_error(ErrorCode::invalid_argument, "'Mine' cannot name a strategy", [&] { add("Mine"); });
  EXPECT_NO_THROW(add("mine"));
}

class FileStrategy : public ::testing::Test {
 protected:
  void run(const std::string& call, const CsrView& mask) {
    ordering_ = Pipeline::parse(call, Registry::with_builtins()).run(mask, kContext).ordering;
  }
  std::string file(const std::string& name, const std::vector<std::int32_t>& indices) {
    write_indices(folder_.path() / name, indices);
    return '"' + (folder_.path() / name).string() + '"';
  }

  testing::TempFolder folder_;
  Ordering ordering_;
};

TEST_F(FileStrategy, ReadsOneOrTwoFiles) {
  const std::string rows = file("rows.npy", {2, 0, 1});
  run("file(" + rows + ")", testing::path(3));
  EXPECT_TRUE(ordering_.symmetric);
  EXPECT_EQ(testing::to_vector(ordering_.rows), (std::vector<std::int32_t>{2, 0, 1}));
  run("file(" + rows + ",cols=" + file("cols.txt", {1, 0}) + ")", Csr::from_entries(3, 2, {}));
  EXPECT_EQ(testing::to_vector(ordering_.cols), (std::vector<std::int32_t>{1, 0}));
  EXPECT_FALSE(ordering_.symmetric);
}

TEST_F(FileStrategy, SaysWhatIsWrong) {
  const std::string rows = file("rows.npy", {2, 0, 1});
  expect_error(ErrorCode::not_a_permutation, "holds 3 indices, but the mask has 4 rows",
               [&] { run("file(" + rows + ")", testing::path(4)); });
  expect_error(ErrorCode::invalid_argument, "needs a second file for its columns",
               [&] { run("file(" + rows + ")", Csr::from_entries(3, 5, {})); });
  expect_error(ErrorCode::not_a_permutation,
               "twice.txt' is no permutation: index 1 stands at place 0 and again at place 1", [&] {
                 run("file(" + file("twice.txt", {1, 1, 0}) + ")", testing::path(3));
               });
  expect_error(ErrorCode::bad_file, "cannot open",
               [&] { run("file(none.npy)", testing::path(3)); });
  expect_error(ErrorCode::syntax, "file needs the parameter 'rows'",
               [&] { run("file", testing::path(3)); });
}

}  // namespace
}  // namespace reorder

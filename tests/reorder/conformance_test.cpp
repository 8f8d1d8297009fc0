// SPDX-License-Identifier: Apache-2.0
//
// What every strategy of the registry owes its callers, on patterns that break orderings. A new
// line of builtin.def is tested without a change here.
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <limits>
#include <map>
#include <random>

#include "expect_error.hpp"
#include "patterns.hpp"
#include "reorder/npy.hpp"
#include "reorder/pipeline.hpp"
#include "temp_folder.hpp"

namespace reorder {
namespace {

struct Shape {
  std::string name;
  std::int32_t n_rows;
  std::int32_t n_cols;
  testing::Entries entries;

  [[nodiscard]] Csr pattern() const { return Csr::from_entries(n_rows, n_cols, entries); }
};

Shape square(std::string name, std::int32_t n, testing::Entries entries) {
  return {std::move(name), n, n, std::move(entries)};
}

std::vector<Shape> make_shapes() {
  std::vector<Shape> shapes;
  shapes.push_back(square("path", 40, testing::path_entries(40)));
  testing::Entries rays;
  for (std::int32_t leaf = 0; leaf < 50; ++leaf) {
    if (leaf != 17) rays.emplace_back(17, leaf);
  }
  shapes.push_back(square("star", 50, testing::undirected(50, rays)));
  shapes.push_back(square("grid", 63, testing::grid_entries(9, 7)));

  testing::Entries two = testing::grid_entries(4, 5);
  for (const auto& [a, b] : testing::path_entries(15)) two.emplace_back(20 + a, 20 + b);
  shapes.push_back(square("two components", 35, two));

  testing::Entries gaps;  // rows and columns 3k are empty
  for (const auto& [a, b] : testing::grid_entries(6, 6)) {
    if (a % 3 != 0 && b % 3 != 0) gaps.emplace_back(a, b);
  }
  shapes.push_back(square("empty rows", 36, gaps));
  shapes.push_back(square("single vertex", 1, {{0, 0}}));
  shapes.push_back(square("single vertex without a loop", 1, {}));
  shapes.push_back(square("two vertices", 2, {{0, 1}}));
  shapes.push_back(square("0 x 0", 0, {}));
  shapes.push_back(square("no entries", 20, {}));
  shapes.push_back(square("loops only", 20, testing::undirected(20, {})));

  testing::Entries all;
  for (std::int32_t i = 0; i < 24 * 24; ++i) all.emplace_back(i / 24, i % 24);
  shapes.push_back(square("dense", 24, all));

  testing::Entries loopless = testing::grid_entries(6, 5);
  std::erase_if(loopless, [](const auto& entry) { return entry.first == entry.second; });
  shapes.push_back(square("missing diagonal", 30, loopless));
  shapes.push_back(square("unsymmetric", 45, testing::random_entries(45, 45, 120, 7)));

  testing::Entries causal;
  for (std::int32_t i = 0; i < 30; ++i) {
    for (std::int32_t j = i / 10 * 10; j <= i; ++j) causal.emplace_back(i, j);
  }
  shapes.push_back(square("causal documents", 30, causal));

  // Ties: every vertex looks like every other.
  testing::Entries ring = testing::path_entries(32);
  ring.emplace_back(0, 31);
  ring.emplace_back(31, 0);
  shapes.push_back(square("ring", 32, ring));
  testing::Entries couples;
  for (std::int32_t i = 0; i < 30; i += 2) couples.emplace_back(i, i + 1);
  shapes.push_back(square("couples", 30, testing::undirected(30, couples)));
  testing::Entries halves;  // complete bipartite, as a graph
  for (std::int32_t i = 0; i < 12; ++i) {
    for (std::int32_t j = 12; j < 24; ++j) halves.emplace_back(i, j);
  }
  shapes.push_back(square("two halves", 24, testing::undirected(24, halves)));
  testing::Entries equal;  // all rows alike
  for (std::int32_t i = 0; i < 20; ++i) {
    for (std::int32_t j = 0; j < 30; j += 3) equal.emplace_back(i, j);
  }
  shapes.push_back({"equal rows", 20, 30, equal});

  shapes.push_back({"wide", 12, 50, testing::random_entries(12, 50, 100, 8)});
  shapes.push_back({"tall", 50, 12, testing::random_entries(50, 12, 100, 9)});
  shapes.push_back({"no rows", 0, 5, {}});
  shapes.push_back({"no columns", 5, 0, {}});
  shapes.push_back({"wide without entries", 3, 9, {}});

  testing::Entries hubs;  // every vertex sees every second one
  for (std::int32_t i = 0; i < 40; ++i) {
    for (std::int32_t j = i % 2; j < 40; j += 2) hubs.emplace_back(i, j);
  }
  shapes.push_back(square("all hubs", 40, hubs));

  testing::Entries globals = testing::path_entries(64);  // three hub rows, two hub columns
  for (std::int32_t j = 0; j < 64; ++j) {
    for (const std::int32_t hub : {5, 20, 40}) globals.emplace_back(hub, j);
    for (const std::int32_t hub : {5, 33}) globals.emplace_back(j, hub);
  }
  shapes.push_back(square("hub rows and columns", 64, globals));
  return shapes;
}

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> result = make_shapes();
  return result;
}

class Conformance : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const auto& strategy : registry_.strategies()) {
      if (strategy->info().name == GetParam()) info_ = strategy->info();
    }
    if (!info_.unavailable.empty()) GTEST_SKIP() << GetParam() << ": " << info_.unavailable;
    if (GetParam() != "file") return;
    for (std::size_t i = 0; i < shapes().size(); ++i) {
      write_indices(rows_file(i), testing::random_permutation(shapes()[i].n_rows, 1).new_to_old());
      write_indices(cols_file(i), testing::random_permutation(shapes()[i].n_cols, 1).new_to_old());
    }
  }

  [[nodiscard]] std::filesystem::path rows_file(std::size_t shape) const {
    return folder_.path() / ("rows" + std::to_string(shape) + ".npy");
  }
  [[nodiscard]] std::filesystem::path cols_file(std::size_t shape) const {
    return folder_.path() / ("cols" + std::to_string(shape) + ".txt");
  }

  /// The strategy as it is called on a shape: only `file` has something to be told.
  [[nodiscard]] std::string call(std::size_t shape) const {
    if (GetParam() != "file") return GetParam();
    return "file(\"" + rows_file(shape).string() + "\",\"" + cols_file(shape).string() + "\")";
  }

  [[nodiscard]] Ordering order(std::size_t shape, const CsrView& mask, std::uint64_t seed,
                               const std::string& behind = "", int threads = 1) const {
    return Pipeline::parse(call(shape) + behind, registry_)
        .run(mask, {.objective = Objective::tiles({.rows = 8, .cols = 8}),
                    .seed = seed,
                    .threads = threads,
                    .budget = {.work = 20'000'000}})
        .ordering;
  }

  /// Whether the strategy must take this shape.
  [[nodiscard]] bool takes(const Shape& shape) const {
    return info_.capabilities.rectangular || shape.n_rows == shape.n_cols;
  }

  Registry registry_ = Registry::with_builtins();
  StrategyInfo info_;
  testing::TempFolder folder_;
};

TEST_P(Conformance, DescribesItself) {
  EXPECT_FALSE(info_.summary.empty());
  EXPECT_EQ(info_.summary.find('\n'), std::string::npos);
  for (const ParamSpec& param : info_.params) EXPECT_FALSE(param.summary.empty()) << param.name;
}

TEST_P(Conformance, GivesABijectionOnEveryShape) {
  for (std::size_t i = 0; i < shapes().size(); ++i) {
    SCOPED_TRACE(shapes()[i].name);
    const Csr mask = shapes()[i].pattern();
    if (!takes(shapes()[i])) {
      testing::expect_error(ErrorCode::invalid_argument, "needs a square mask",
                            [&] { (void)order(i, mask, 0); });
      continue;
    }
    // Permutation's constructor checks the bijection; here, that it is one of the mask.
    const Ordering ordering = order(i, mask, 0);
    EXPECT_EQ(ordering.rows.size(), mask.n_rows());
    EXPECT_EQ(ordering.cols.size(), mask.n_cols());
    EXPECT_EQ(permute(mask, ordering).nnz(), mask.nnz());
    if (info_.capabilities.symmetric_output && mask.view().is_square()) {
      EXPECT_TRUE(ordering.symmetric);
      EXPECT_EQ(ordering.rows, ordering.cols);
    }
  }
}

TEST_P(Conformance, WorksBeforeAndBehindOthers) {
  for (std::size_t i = 0; i < shapes().size(); ++i) {
    SCOPED_TRACE(shapes()[i].name);
    const Csr mask = shapes()[i].pattern();
    if (!takes(shapes()[i])) continue;
    EXPECT_EQ(order(i, mask, 3, "|random|" + call(i)).rows.size(), mask.n_rows());
    EXPECT_EQ(order(i, mask, 3, "|rcm").cols.size(), mask.n_cols());
  }
}

TEST_P(Conformance, SameSeedSameAnswer) {
  for (std::size_t i = 0; i < shapes().size(); ++i) {
    if (!takes(shapes()[i])) continue;
    const Csr mask = shapes()[i].pattern();
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{42}, ~std::uint64_t{0}}) {
      EXPECT_EQ(order(i, mask, seed), order(i, mask, seed)) << shapes()[i].name << " " << seed;
    }
  }
}

TEST_P(Conformance, TheOrderOfTheInputsEntriesIsNoMatter) {
  std::mt19937 random(5);
  for (std::size_t i = 0; i < shapes().size(); ++i) {
    if (!takes(shapes()[i])) continue;
    Shape shuffled = shapes()[i];
    for (std::size_t k = shuffled.entries.size(); k > 1; --k) {
      std::swap(shuffled.entries[k - 1], shuffled.entries[random() % k]);
    }
    EXPECT_EQ(order(i, shuffled.pattern(), 1), order(i, shapes()[i].pattern(), 1)) << shuffled.name;
  }
}

TEST_P(Conformance, TwoThreadsAtOnceAgreeWithOneAlone) {
  const auto order_all = [&] {
    std::vector<Ordering> orderings;
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < shapes().size(); ++i) {
        if (takes(shapes()[i])) orderings.push_back(order(i, shapes()[i].pattern(), 11));
      }
    }
    return orderings;
  };
  const std::vector<Ordering> alone = order_all();
  auto first = std::async(std::launch::async, order_all);
  auto second = std::async(std::launch::async, order_all);
  EXPECT_EQ(first.get(), alone);
  EXPECT_EQ(second.get(), alone);
}

TEST_P(Conformance, TheNumberOfThreadsIsNoMatter) {
  for (std::size_t i = 0; i < shapes().size(); ++i) {
    if (!takes(shapes()[i])) continue;
    const Csr mask = shapes()[i].pattern();
    const Ordering one = order(i, mask, 7);
    EXPECT_EQ(order(i, mask, 7, "", 2), one) << shapes()[i].name;
    EXPECT_EQ(order(i, mask, 7, "", 8), one) << shapes()[i].name;
  }
  if (GetParam() == "file") return;
  // Large enough for neighbourhoods that run in parallel.
  const Csr mask = testing::random_pattern(500, 500, 2500, 6);
  const Ordering one = order(0, mask, 7);
  EXPECT_EQ(order(0, mask, 7, "", 2), one);
  EXPECT_EQ(order(0, mask, 7, "", 8), one);
}

TEST_P(Conformance, RefusesMoreRowsAndColumnsThanItCanNumber) {
  const std::vector<std::int64_t> offsets{0, 1, 1};
  const std::vector<std::int32_t> cols{5};
  // A view of four numbers: nothing of its claimed width may be allocated before it is refused.
  const CsrView wide{2, std::numeric_limits<std::int32_t>::max(), offsets, cols};
  testing::expect_error(ErrorCode::too_large,
                        "2 x 2147483647 pattern has 2147483649 vertices; the limit is 2147483647",
                        [&] { (void)order(0, wide, 0); });
}

TEST_P(Conformance, PrintsNothing) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  for (std::size_t i = 0; i < shapes().size(); ++i) {
    if (!takes(shapes()[i])) continue;
    EXPECT_NO_THROW((void)order(i, shapes()[i].pattern(), 0)) << shapes()[i].name;
  }
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  const Registry registry = Registry::with_builtins();
  for (const auto& strategy : registry.strategies()) names.push_back(strategy->info().name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Builtin, Conformance, ::testing::ValuesIn(all_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace reorder

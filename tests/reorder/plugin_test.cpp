// SPDX-License-Identifier: Apache-2.0
#include "reorder/plugin.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "expect_error.hpp"
#include "patterns.hpp"
#include "reorder/pipeline.hpp"
#include "temp_folder.hpp"

namespace reorder {
namespace {

using testing::expect_error;

const Context kContext{.objective = Objective::tiles({.rows = 8, .cols = 8})};

std::filesystem::path bad_plugin(const std::string& name) {
  return std::filesystem::path(BAD_PLUGIN_FOLDER) / ("bad_" + name + ".so");
}

std::filesystem::path example_plugin() {
  return std::filesystem::path(EXAMPLE_PLUGIN_FOLDER) / "libdegree.so";
}

TEST(ExamplePlugin, OrdersByDegree) {
  Registry registry = Registry::with_builtins();
  EXPECT_EQ(registry.load_plugin(example_plugin()), std::vector<std::string>{"degree"});
  EXPECT_EQ(registry.find("degree")->info().citation, "plugin libdegree.so");
  // Row degrees 1, 3, 2; column degrees 3, 2, 1.
  const Csr mask =
      Csr::from_entries(3, 3, testing::Entries{{0, 0}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}});
  const auto ordering = Pipeline::parse("degree", registry).run(mask, kContext).ordering;
  EXPECT_EQ(testing::to_vector(ordering.rows), (std::vector<std::int32_t>{1, 2, 0}));
  EXPECT_EQ(testing::to_vector(ordering.cols), (std::vector<std::int32_t>{0, 1, 2}));
  EXPECT_FALSE(ordering.symmetric);
  const auto fewest = Pipeline::parse("degree(fewest)", registry).run(mask, kContext);
  EXPECT_EQ(testing::to_vector(fewest.ordering.rows), (std::vector<std::int32_t>{0, 2, 1}));
  EXPECT_EQ(fewest.report.pipeline, "degree(fewest)");
  expect_error(ErrorCode::plugin, "the parameter is \"fewest\" or nothing, not \"most\"",
               [&] { (void)Pipeline::parse("degree(most)", registry).run(mask, kContext); });
}

TEST(ExamplePlugin, ComposesWithOthersAndTakesEveryShape) {
  Registry registry = Registry::with_builtins();
  registry.load_plugin(example_plugin());
  const Pipeline pipeline = Pipeline::parse("peel|best_of(degree,rcm)|degree", registry);
  for (const Csr& mask : {testing::grid(8, 8), Csr(), Csr::from_entries(3, 0, {}),
                          testing::random_pattern(20, 30, 90, 1)}) {
    const auto result = pipeline.run(mask, kContext);
    EXPECT_EQ(result.ordering.rows.size(), mask.n_rows());
    EXPECT_EQ(result.ordering.cols.size(), mask.n_cols());
  }
}

TEST(ExamplePlugin, IsFoundOnThePath) {
  testing::TempFolder empty;
  Registry registry = Registry::with_builtins();
  const std::string path = empty.path().string() + "::" + EXAMPLE_PLUGIN_FOLDER;
  EXPECT_EQ(registry.load_plugins_from_path(path), std::vector<std::string>{"degree"});
  EXPECT_NO_THROW((void)registry.find("degree"));
  EXPECT_TRUE(Registry::with_builtins().load_plugins_from_path("").empty());
  expect_error(ErrorCode::plugin, "cannot read the plugin folder '/no/such/folder'",
               [&] { registry.load_plugins_from_path("/no/such/folder"); });
}

TEST(Plugin, WhatDoesNotLoad) {
  Registry registry = Registry::with_builtins();
  const std::size_t known = registry.strategies().size();
  const auto refuse = [&](const std::string& name, const std::string& part) {
    SCOPED_TRACE(name);
    expect_error(ErrorCode::plugin, part, [&] { registry.load_plugin(bad_plugin(name)); });
    EXPECT_EQ(registry.strategies().size(), known) << "all of a plugin or nothing";
  };
  refuse("missing_file", "does not exist");
  refuse("other_abi", "has ABI version 99; this program speaks version 1");
  refuse("no_symbol", "does not export blockfill_plugin()");
  refuse("null_description", "returned no description");
  refuse("short_plugin", "describes itself in 8 bytes");
  refuse("no_strategies", "has no strategies");
  refuse("null_strategy", "null pointer for strategy 1");
  refuse("short_strategy", "describes strategy 0 in 8 bytes");
  refuse("null_name", "gives no name to strategy 0");
  refuse("wrong_name", "'Not A Name'; names are [a-z][a-z0-9_]*");
  refuse("taken_name", "there already is a strategy 'rcm'");
  refuse("null_summary", "gives no summary for 'bad'");
  refuse("null_order", "gives no function for 'bad'");

  testing::TempFolder folder;
  const auto text = folder.path() / "text.so";
  std::ofstream(text) << "not a shared object";
  expect_error(ErrorCode::plugin, "does not load", [&] { registry.load_plugin(text); });
  expect_error(ErrorCode::plugin, "does not load",
               [&] { registry.load_plugins_from_path(folder.path().string()); });
}

TEST(Plugin, WhatDoesNotOrder) {
  const Csr mask = testing::path(5);
  const auto refuse = [&](const std::string& name, ErrorCode code, const std::string& part) {
    SCOPED_TRACE(name);
    Registry registry = Registry::with_builtins();
    registry.load_plugin(bad_plugin(name));
    expect_error(code, part, [&] { (void)Pipeline::parse("bad", registry).run(mask, kContext); });
    // In best_of it is a candidate that failed.
    const auto result = Pipeline::parse("best_of(bad,rcm)", registry).run(mask, kContext);
    EXPECT_NE(result.report.candidates[1].error.find(part), std::string::npos);
  };
  refuse("fails", ErrorCode::plugin, "bad: the plugin returned 42: 5 rows are one too many for me");
  refuse("fails_silently", ErrorCode::plugin, "bad: the plugin returned 43");
  refuse("throws", ErrorCode::plugin, "bad: the plugin threw: no memory for the rows");
  refuse("throws_a_number", ErrorCode::plugin, "bad: the plugin threw what is no std::exception");
  refuse("repeats", ErrorCode::not_a_permutation,
         "order of the rows is no permutation: index 0 stands at place 0 and again at place 1");
  refuse("forgets", ErrorCode::not_a_permutation,
         "order of the columns is no permutation: place 4 holds index -1");
}

TEST(Plugin, MayRefuseRectangularMasks) {
  Registry registry = Registry::with_builtins();
  registry.load_plugin(bad_plugin("squares_only"));
  const Pipeline pipeline = Pipeline::parse("bad", registry);
  EXPECT_NO_THROW((void)pipeline.run(testing::path(4), kContext));
  expect_error(ErrorCode::invalid_argument, "bad: needs a square mask",
               [&] { (void)pipeline.run(Csr::from_entries(2, 3, {}), kContext); });
}

}  // namespace
}  // namespace reorder

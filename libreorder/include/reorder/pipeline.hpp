// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reorder/strategy.hpp"

namespace reorder {

/// The strategies that a program knows: those built in and the plugins it loaded. A value that
/// the caller holds; there is no global registry.
class Registry {
 public:
  /// The strategies of `strategies/builtin.def`, those of missing optional libraries too.
  [[nodiscard]] static Registry with_builtins();

  /// Throws Error{invalid_argument} when the name is taken or is not [a-z][a-z0-9_]*.
  void add(std::shared_ptr<const Strategy> strategy);

  /// Loads a shared object that exports `blockfill_plugin` (plugin.h) and adds its strategies;
  /// returns their names. The object stays loaded. Throws Error{plugin}.
  std::vector<std::string> load_plugin(const std::filesystem::path& file);

  /// Loads every .so of the folders in `folders`, which are separated by colons as in the
  /// environment variable REORDER_PLUGIN_PATH, each folder in the order of the file names. Throws
  /// Error{plugin} for the first that does not load and for a folder that cannot be read.
  std::vector<std::string> load_plugins_from_path(std::string_view folders);

  /// Throws Error{unknown_name} with the nearest name, or Error{unavailable} with the reason.
  [[nodiscard]] std::shared_ptr<const Strategy> find(std::string_view name) const;

  /// All strategies, built-in ones in the order of builtin.def.
  [[nodiscard]] const std::vector<std::shared_ptr<const Strategy>>& strategies() const noexcept {
    return strategies_;
  }

 private:
  std::vector<std::shared_ptr<const Strategy>> strategies_;
};

/// One stage of a run, as reported.
struct StageReport {
  std::string stage;  ///< canonical text, "peel(8)"
  double seconds = 0;
  std::optional<TileCounts> tiles{};  ///< after it; absent for a reduction
};

struct Report {
  std::string pipeline;  ///< canonical text
  std::string objective;
  std::uint64_t seed = 0;
  TileCounts before;
  TileCounts after;
  std::int64_t lower_bound = 0;
  double seconds = 0;  ///< wall time of the ordering alone, counting and checking excluded
  std::vector<StageReport> stages;
  std::vector<CandidateReport> candidates;
  std::optional<ChoiceReport> choice;  ///< of the last stage that chose within a budget
};

/// A parsed chain of strategies, "peel(8)|rcm" or "best_of(natural,rcm,amd)". Each stage orders
/// the mask as the stages before it left it; the orderings are composed.
/// `best_of(p, q, ...)` keeps the candidate with the lowest objective, the first of equals;
/// `natural` always takes part.
class Pipeline {
 public:
  /// Throws Error{syntax}, Error{unknown_name} or Error{invalid_argument}, each with the text
  /// at fault.
  [[nodiscard]] static Pipeline parse(std::string_view text, const Registry& registry);

  struct Result {
    Ordering ordering;
    Report report;
  };

  /// Every stage's result is checked to be a bijection of the right size, plugins' too.
  /// Throws what the strategies throw, the stage's name in front, and Error{too_large} for a mask
  /// of more than 2³¹ − 1 rows and columns together.
  [[nodiscard]] Result run(const CsrView& mask, const Context& context) const;

  /// Canonical text: every parameter that differs from its default, in order.
  [[nodiscard]] std::string to_string() const;

 private:
  struct Node;
  class Runner;
  std::vector<std::shared_ptr<const Node>> stages_;
};

}  // namespace reorder

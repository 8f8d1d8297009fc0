// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "reorder/budget.hpp"
#include "reorder/csr.hpp"
#include "reorder/features.hpp"
#include "reorder/objective.hpp"
#include "reorder/permutation.hpp"
#include "reorder/spec.hpp"

namespace reorder {

/// What a strategy can do; drivers and `auto` choose by it.
struct Capabilities {
  bool rectangular = true;        ///< accepts n_rows ≠ n_cols
  bool symmetric_output = false;  ///< rows and columns always get the same permutation
  bool deterministic = true;
  bool thread_safe = true;
  std::string needs{};  ///< the optional library it is built on, or ""
};

struct StrategyInfo {
  std::string name;
  std::string summary;     ///< one line for `blockfill list`
  std::string citation{};  ///< paper or library the method comes from
  std::vector<ParamSpec> params{};
  Capabilities capabilities{};
  std::string unavailable{};  ///< why this build cannot run it; "" when it can
};

/// One candidate of best_of or of a strategy that chooses among several, as reported.
struct CandidateReport {
  std::string pipeline;
  double seconds = 0;
  double objective = 0;
  std::string error{};  ///< why it could not run, or ""
  bool chosen = false;
  std::int64_t work = 0;  ///< of the budget; 0 where none was kept
};

/// How a strategy that chooses within a budget came to its answer, as reported.
struct ChoiceReport {
  MaskFeatures features;
  std::int64_t work_limit = 0;  ///< as a budget, this gives the same answer anywhere
  std::int64_t work = 0;        ///< that was spent
  bool budget_cut = false;      ///< the wall-clock guard fired: another run may differ
  std::string reason{};         ///< why this candidate, in a sentence
};

/// What every strategy is told besides the mask and its own parameters.
struct Context {
  Objective objective;
  std::uint64_t seed = 0;
  int threads = 1;
  Budget budget{};  ///< of a strategy that chooses among several and was given none of its own
  /// Called once for each candidate that a choosing strategy looked at; may be empty.
  std::function<void(const CandidateReport&)> on_candidate{};
  /// Called once by a strategy that chose within a budget; may be empty.
  std::function<void(const ChoiceReport&)> on_choice{};
};

/// One way to order a mask. Stateless and pure: the answer depends on the mask, the
/// parameters, the objective and the seed alone, never on the clock, the number of threads
/// or an earlier call; nothing is printed. One object serves several threads at once.
class Strategy {
 public:
  virtual ~Strategy() = default;

  [[nodiscard]] virtual const StrategyInfo& info() const = 0;

  /// An ordering of `mask` as it stands: a refiner starts from the order it is given.
  /// Throws Error for a mask that it cannot take.
  [[nodiscard]] virtual Ordering order(const CsrView& mask, const Params& params,
                                       const Context& context) const = 0;
};

/// A strategy that makes the problem smaller for the one after it: hubs set apart, equal rows
/// merged. In `peel(8)|rcm` the ordering of the reduced mask, by rcm, is expanded at once to an
/// ordering of the whole, and a third stage sees the whole again.
class Reduction : public Strategy {
 public:
  struct Reduced {
    Csr mask;
    /// From an ordering of `mask` to one of the mask that was reduced.
    std::function<Ordering(const Ordering&)> expand;
  };

  [[nodiscard]] virtual Reduced reduce(const CsrView& mask, const Params& params,
                                       const Context& context) const = 0;

  /// Standing alone: the reduced mask keeps its order.
  [[nodiscard]] Ordering order(const CsrView& mask, const Params& params,
                               const Context& context) const final;
};

}  // namespace reorder

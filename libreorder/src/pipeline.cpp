// SPDX-License-Identifier: Apache-2.0
#include "reorder/pipeline.hpp"

#include <cassert>
#include <chrono>
#include <functional>
#include <limits>
#include <utility>
#include <variant>

#include "checks.hpp"
#include "graph.hpp"
#include "names.hpp"
#include "reorder/error.hpp"

namespace reorder {
namespace {

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

/// A stage: a strategy with its parameters, or best_of with its candidates.
struct Pipeline::Node {
  using Stages = std::vector<std::shared_ptr<const Node>>;

  struct Step {
    std::shared_ptr<const Strategy> strategy;
    Params params;
  };

  struct Candidate {
    Stages stages;
    std::string text;   ///< canonical
    std::string error;  ///< why this build cannot run it, or ""
  };

  std::string text;  ///< canonical
  std::variant<Step, std::vector<Candidate>> what;

  [[nodiscard]] const Reduction* reduction() const {
    const auto* step = std::get_if<Step>(&what);
    return step ? dynamic_cast<const Reduction*>(step->strategy.get()) : nullptr;
  }

  static std::shared_ptr<const Node> parse(const Call& call, const Registry& registry);
  static Stages parse(const Chain& chain, const Registry& registry);
  static std::string text_of(const Stages& stages);

 private:
  static std::vector<Candidate> parse_candidates(const Call& call, const Registry& registry);
};

std::string Pipeline::Node::text_of(const Stages& stages) {
  std::string text;
  for (const auto& stage : stages) text += (text.empty() ? "" : "|") + stage->text;
  return text;
}

Pipeline::Node::Stages Pipeline::Node::parse(const Chain& chain, const Registry& registry) {
  Stages stages;
  for (const Call& call : chain) stages.push_back(parse(call, registry));
  return stages;
}

std::vector<Pipeline::Node::Candidate> Pipeline::Node::parse_candidates(const Call& call,
                                                                        const Registry& registry) {
  std::vector<Candidate> candidates;
  bool natural = false;
  for (const Argument& argument : call.arguments) {
    if (!argument.key.empty() || argument.chain.empty()) {
      throw Error(ErrorCode::syntax, std::string(kBestOf) + " takes pipelines, but '" +
                                         (argument.key.empty() ? "" : argument.key + "=") +
                                         argument.text + "' is none");
    }
    Candidate candidate{.stages = {}, .text = reorder::to_string(argument.chain), .error = {}};
    try {
      candidate.stages = parse(argument.chain, registry);
      candidate.text = text_of(candidate.stages);
    } catch (const Error& error) {
      // What this build lacks cannot win, but the others can.
      if (error.code() != ErrorCode::unavailable) throw;
      candidate.error = error.what();
    }
    natural = natural || candidate.text == "natural";
    candidates.push_back(std::move(candidate));
  }
  if (candidates.empty()) {
    throw Error(ErrorCode::syntax, std::string(kBestOf) + " needs at least one pipeline");
  }
  if (!natural) {
    const Stages stages{parse(Call{.name = "natural", .arguments = {}}, registry)};
    candidates.insert(candidates.begin(), {stages, "natural", {}});
  }
  return candidates;
}

std::shared_ptr<const Pipeline::Node> Pipeline::Node::parse(const Call& call,
                                                            const Registry& registry) {
  auto node = std::make_shared<Node>();
  if (call.name == kBestOf) {
    std::vector<Candidate> candidates = parse_candidates(call, registry);
    node->text = std::string(kBestOf) + '(';
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      node->text += (i == 0 ? "" : ",") + candidates[i].text;
    }
    node->text += ')';
    node->what = std::move(candidates);
  } else {
    std::shared_ptr<const Strategy> strategy = registry.find(call.name);
    const StrategyInfo& info = strategy->info();
    Params params = reorder::bind(call, info.params);
    node->text = canonical(info.name, params, info.params);
    node->what = Step{std::move(strategy), std::move(params)};
  }
  return node;
}

namespace {

/// A mask handed from stage to stage: the caller's own until a stage changes its order.
class CurrentMask {
 public:
  explicit CurrentMask(const CsrView& mask) : view_(mask) {}

  void apply(const Ordering& ordering) {
    if (ordering.rows.is_identity() && ordering.cols.is_identity()) return;
    owned_ = permute(view_, ordering);
    view_ = owned_.view();
  }
  [[nodiscard]] const CsrView& view() const { return view_; }

 private:
  Csr owned_;
  CsrView view_;
};

void check_result(const CsrView& mask, const Ordering& ordering) {
  if (ordering.rows.size() != mask.n_rows || ordering.cols.size() != mask.n_cols) {
    throw Error(ErrorCode::not_a_permutation,
                "returned an order of " + std::to_string(ordering.rows.size()) + " rows and " +
                    std::to_string(ordering.cols.size()) + " columns for a mask of " +
                    std::to_string(mask.n_rows) + " x " + std::to_string(mask.n_cols));
  }
  if (ordering.symmetric && ordering.rows != ordering.cols) {
    throw Error(ErrorCode::not_a_permutation,
                "returned different orders of rows and columns and called them symmetric");
  }
}

void require_shape(const StrategyInfo& info, const CsrView& mask) {
  if (!info.capabilities.rectangular && !mask.is_square()) {
    throw Error(ErrorCode::invalid_argument, "needs a square mask, but this one is " +
                                                 std::to_string(mask.n_rows) + " x " +
                                                 std::to_string(mask.n_cols));
  }
}

}  // namespace

/// Runs stages on one mask and records what happened.
class Pipeline::Runner {
 public:
  using Stages = Node::Stages;
  /// From an ordering of the mask at hand to the objective's value of the whole.
  using Score = std::function<double(const Ordering&)>;

  Runner(const Context& context, Report* report) : context_(context), report_(report) {
    context_.on_candidate = [report](const CandidateReport& candidate) {
      if (report != nullptr) report->candidates.push_back(candidate);
    };
    context_.on_choice = [report](const ChoiceReport& choice) {
      if (report != nullptr) report->choice = choice;
    };
  }

  /// All stages one after the other; the orderings composed.
  Ordering run(const Stages& stages, const CsrView& mask, const Score& score) const {
    Ordering whole = Ordering::identity(mask.n_rows, mask.n_cols);
    CurrentMask current(mask);
    for (std::size_t i = 0; i < stages.size();) {
      const std::size_t first = i;
      const Stopwatch watch;
      const Ordering step = run_from(stages, i, current.view(), [&](const Ordering& ordering) {
        return score(whole.then(ordering));
      });
      whole = first == 0 ? step : whole.then(step);
      const bool last = i == stages.size();
      if (!last) current.apply(step);
      report_stages(stages, first, i, watch.seconds(), mask, whole);
    }
    return whole;
  }

 private:
  /// Puts the stage's name in front of what it throws.
  template <typename Function>
  static auto named(const Node& node, Function function) {
    try {
      return function();
    } catch (const Error& error) {
      throw Error(error.code(), node.text + ": " + error.what());
    }
  }

  /// The stage at `i`; a reduction takes the stages behind it along, up to and with the first that
  /// is none. Moves `i` behind the last stage that ran.
  Ordering run_from(const Stages& stages, std::size_t& i, const CsrView& mask,
                    const Score& score) const {
    const Node& node = *stages[i];
    const Reduction* reduction = i + 1 < stages.size() ? node.reduction() : nullptr;
    if (reduction == nullptr) {
      ++i;
      return run_node(node, mask, score);
    }
    const auto& step = std::get<Node::Step>(node.what);
    const Reduction::Reduced reduced = named(node, [&] {
      require_shape(reduction->info(), mask);
      return reduction->reduce(mask, step.params, context_);
    });
    ++i;
    const Ordering inner = run_from(stages, i, reduced.mask, [&](const Ordering& ordering) {
      return score(reduced.expand(ordering));
    });
    return named(node, [&] {
      Ordering expanded = reduced.expand(inner);
      check_result(mask, expanded);
      return expanded;
    });
  }

  Ordering run_node(const Node& node, const CsrView& mask, const Score& score) const {
    if (const auto* candidates = std::get_if<std::vector<Node::Candidate>>(&node.what)) {
      return best_of(*candidates, mask, score);
    }
    const auto& step = std::get<Node::Step>(node.what);
    return named(node, [&] {
      require_shape(step.strategy->info(), mask);
      Ordering ordering = step.strategy->order(mask, step.params, context_);
      check_result(mask, ordering);
      return ordering;
    });
  }

  Ordering best_of(const std::vector<Node::Candidate>& candidates, const CsrView& mask,
                   const Score& score) const {
    const Runner silent(context_, nullptr);
    Ordering best;
    double best_value = std::numeric_limits<double>::infinity();
    std::vector<CandidateReport> reports;
    std::size_t chosen = 0;
    for (const Node::Candidate& candidate : candidates) {
      CandidateReport entry{.pipeline = candidate.text, .error = candidate.error};
      if (candidate.error.empty()) {
        try {
          const Stopwatch watch;
          Ordering ordering = silent.run(candidate.stages, mask, score);
          entry.seconds = watch.seconds();
          entry.objective = score(ordering);
          if (entry.objective < best_value) {
            best_value = entry.objective;
            best = std::move(ordering);
            chosen = reports.size();
          }
        } catch (const Error& error) {
          entry.error = error.what();
        }
      }
      reports.push_back(std::move(entry));
    }
    assert(best_value < std::numeric_limits<double>::infinity() && "natural cannot fail");
    reports[chosen].chosen = true;
    if (report_ != nullptr) {
      report_->candidates.insert(report_->candidates.end(), reports.begin(), reports.end());
    }
    return best;
  }

  void report_stages(const Stages& stages, std::size_t first, std::size_t end, double seconds,
                     const CsrView& mask, const Ordering& whole) const {
    if (report_ == nullptr) return;
    report_->seconds += seconds;
    for (std::size_t i = first; i + 1 < end; ++i) {
      report_->stages.push_back({.stage = stages[i]->text, .tiles = {}});
    }
    report_->stages.push_back({.stage = stages[end - 1]->text,
                               .seconds = seconds,
                               .tiles = count_tiles(mask, whole, context_.objective.tile)});
  }

  Context context_;
  Report* report_;  ///< null inside best_of: its candidates are reported as one line each
};

Pipeline Pipeline::parse(std::string_view text, const Registry& registry) {
  Pipeline pipeline;
  pipeline.stages_ = Node::parse(parse_chain(text), registry);
  return pipeline;
}

std::string Pipeline::to_string() const {
  return Node::text_of(stages_);
}

Pipeline::Result Pipeline::run(const CsrView& mask, const Context& context) const {
  validate(context.objective);
  require_vertices(mask);  // some strategies number rows and columns together
  const Tile tile = context.objective.tile;
  Result result;
  Report& report = result.report;
  report.pipeline = to_string();
  report.objective = reorder::to_string(context.objective);
  report.seed = context.seed;
  report.before = count_tiles(mask, tile);
  report.lower_bound = tile_lower_bound(mask, tile);
  result.ordering = Runner(context, &report).run(stages_, mask, [&](const Ordering& ordering) {
    return evaluate(context.objective, mask, ordering);
  });
  report.after = count_tiles(mask, result.ordering, tile);
  return result;
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <iostream>

#include "attn/backend.hpp"
#include "experiments/calibration.hpp"
#include "experiments/cli/command.hpp"
#include "experiments/cli/report.hpp"
#include "experiments/parameters.hpp"
#include "experiments/text.hpp"
#include "masks/mask.hpp"
#include "reorder/objective.hpp"

namespace experiments {
namespace {

struct PredictOptions {
  CommonOptions common;
  Problem problem;
};

/// What a calibration says of one mask in two orders: milliseconds a call.
struct Prediction {
  double natural = 0;
  double alone = 0;       ///< in the new order, tensors already in it
  double with_moves = 0;  ///< reading Q, K, V and writing O through the order
  std::optional<std::int64_t> break_even_calls;  ///< absent: never
};

/// Of Q and O by rows, of K and V by columns.
double rows_moved(const attn::Backend& backend, const reorder::Ordering& ordering) {
  const auto moved = [&](const reorder::Permutation& order) {
    return order.is_identity() ? 0.0
                               : 2.0 * static_cast<double>(backend.rows_copied(order.new_to_old()));
  };
  return moved(ordering.rows) + moved(ordering.cols);
}

Prediction predict(const BackendCost& cost, double heads, const reorder::CsrView& pattern,
                   const reorder::Ordering& ordering, double ordering_ms) {
  reorder::Objective alone = objective_of(cost);
  alone.t_gather = 0;
  const auto ms = [&](const reorder::Ordering& order) {
    return cost.call ? predict(*cost.call, pattern, order, heads)
                     : heads * reorder::evaluate(alone, pattern, order);
  };
  Prediction p{.natural = ms(reorder::Ordering::identity(pattern.n_rows, pattern.n_cols)),
               .alone = ms(ordering),
               .break_even_calls = {}};
  p.with_moves =
      p.alone + heads * cost.t_gather * rows_moved(attn::backend(cost.backend), ordering);
  const double saved = p.natural - p.with_moves;
  if (saved > 0) {
    p.break_even_calls =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(ordering_ms / saved)));
  }
  return p;
}

ExitCode predict_call(const PredictOptions& options) {
  const auto registry = options.common.registry();
  Problem problem = options.problem;
  problem.seed = options.common.seed;
  problem.threads = options.common.thread_count();
  if (problem.kv_heads == 0) problem.kv_heads = problem.heads;
  validate(problem);
  if (problem.pass != "fwd" || problem.algorithm != "lists") {
    throw UsageError("a calibration holds the forward pass by lists alone, not --pass " +
                     problem.pass + " --algorithm " + problem.algorithm);
  }
  const Calibration calibration = read_calibration(problem.cost_model);
  const BackendCost& cost = cost_of(calibration, problem, problem.cost_model);
  const auto pipeline = reorder::Pipeline::parse(problem.pipeline, registry);

  const masks::Mask mask = masks::make(problem.mask);
  const auto result = pipeline.run(mask.pattern, context_of(problem));
  const double heads = static_cast<double>(problem.batch) * problem.heads;
  const double ordering_ms = 1e3 * result.report.seconds;
  const OrderingFacts facts = ordering_facts(result);
  const Prediction p = predict(cost, heads, mask.pattern, result.ordering, ordering_ms);

  if (options.common.json) {
    print_json(
        {{"mask", mask.name},
         {"cost", encode(cost)},
         {"ordering", encode(facts)},
         {"before", encode(tile_facts(result.report.before))},
         {"after", encode(tile_facts(result.report.after))},
         {"ms",
          {{"natural", p.natural},
           {"permuted", p.alone},
           {"fused", p.with_moves},
           {"ordering", ordering_ms}}},
         {"break_even_calls", p.break_even_calls ? Json(*p.break_even_calls) : Json(nullptr)}});
    return ExitCode::ok;
  }
  std::cout << describe(mask) << describe(facts, result.report.seconds)
            << labelled("cost model",
                        cost.backend + ", " + cost.device + ", R² " +
                            fixed(cost.call ? cost.call->r2 : cost.r2, 4) + ", worst mask off by " +
                            fixed(100 * (cost.call ? cost.call->worst : cost.worst), 0) + "%")
            << "\npredicted, each call\n"
            << labelled("natural order", three_digits(p.natural) + " ms");
  if (!facts.reordered) return ExitCode::ok;
  std::cout << labelled("reordered", three_digits(p.with_moves) + " ms, moving Q, K, V and O " +
                                         "included; attention alone " + three_digits(p.alone) +
                                         " ms")
            << labelled("break-even", p.break_even_calls ? grouped(*p.break_even_calls) +
                                                               " calls for the ordering's " +
                                                               three_digits(ordering_ms) + " ms"
                                                         : std::string("never: do not reorder"));
  return ExitCode::ok;
}

}  // namespace

void add_predict(CLI::App& app, Action& action) {
  add_command<PredictOptions>(
      app, action, "predict",
      "Say from a calibration what a call would take, in either order, without running it",
      predict_call, [](CLI::App& command, PredictOptions& options) {
        Problem& problem = options.problem;
        problem.kv_heads = 0;
        add_mask_option(command, problem.mask);
        command.add_option("-p,--pipeline", problem.pipeline, "How to order it")
            ->capture_default_str();
        add_ordering_options(command, problem);
        add_attention_options(command, problem);
        command.get_option("--cost-model")->required()->check(not_empty());
      });
}

}  // namespace experiments

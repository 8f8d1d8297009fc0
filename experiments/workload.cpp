// SPDX-License-Identifier: Apache-2.0
#include "experiments/workload.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "experiments/build_mask.hpp"
#include "experiments/parameters.hpp"

namespace experiments {
namespace {

/// The report of the run that took nearest to the median, so that the times of its stages and
/// candidates belong to the total that is shown beside them.
const reorder::Report& typical(const std::vector<reorder::Report>& reports, double median) {
  const auto distance = [&](const reorder::Report& r) { return std::abs(r.seconds - median); };
  return *std::min_element(reports.begin(), reports.end(),
                           [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
}

}  // namespace

const Workload::Ordered& Workload::ordered(const Problem& problem,
                                           const reorder::Registry& registry,
                                           const Repeats& repeats) {
  const reorder::Context context = context_of(problem);
  const std::string key = problem.pipeline + " " + reorder::to_string(context.objective) + " " +
                          problem.budget + " " + problem.cost_model + " " +
                          std::to_string(problem.seed) + " " + std::to_string(problem.threads);
  if (const auto known = orderings_.find(key); known != orderings_.end()) return known->second;

  const auto pipeline = reorder::Pipeline::parse(problem.pipeline, registry);
  auto result = pipeline.run(mask_.pattern, context);
  std::vector<reorder::Report> reports = {result.report};
  const auto again = [&] {
    reports.push_back(pipeline.run(mask_.pattern, context).report);
    return reports.back().seconds;
  };
  const Timing ms = repeat(again, one_off(repeats), {result.report.seconds});
  result.report = typical(reports, ms.median * 1e-3);
  OrderingFacts facts = ordering_facts(result);
  return orderings_.emplace(key, Ordered{std::move(result.ordering), std::move(facts), ms})
      .first->second;
}

const Workload::Natural& Workload::natural(const Problem& problem, const Repeats& repeats) {
  const std::string key = problem.tile + " " + std::to_string(problem.threads);
  if (const auto known = naturals_.find(key); known != naturals_.end()) return known->second;

  const auto pattern = mask_.pattern.view();
  const reorder::Tile tile = parse_tile(problem.tile);
  auto built = timed_once(repeats, [&] {
    return attn::BlockMask::from_csr(to_attn(pattern), tile_shape(tile), problem.threads);
  });
  return naturals_
      .emplace(key,
               Natural{reorder::count_tiles(pattern, tile),
                       reorder::tile_lower_bound(pattern, tile), std::move(built.value), built.ms})
      .first->second;
}

const WalkCounts& Workload::natural_walk(const attn::Walk& walk) {
  std::string key;
  for (const auto& shape : {walk.part, walk.step}) {
    key += attn::to_string(shape) + " ";
  }
  const auto [known, is_new] = walks_.try_emplace(key);
  if (is_new) {
    const auto pattern = mask_.pattern.view();
    known->second =
        count_walk(pattern, reorder::Ordering::identity(pattern.n_rows, pattern.n_cols), walk);
  }
  return known->second;
}

const Oracle& Workload::oracle(const Problem& problem, Scope scope) {
  Problem shared = problem;
  shared.pipeline = shared.backend = shared.algorithm = shared.pass = "";
  shared.tile = shared.kernel_tile = shared.gradients = "";
  shared.objective = shared.cost_model = shared.budget = "";
  shared.threads = 0;
  const std::string key = key_of(shared) + " " + std::to_string(static_cast<int>(scope));
  if (const auto known = oracles_.find(key); known != oracles_.end()) return known->second;
  const Inputs& inputs = tensors_.inputs(problem, mask_.pattern);
  return oracles_
      .emplace(key, Oracle(mask_.pattern, inputs, scale_of(problem), scope, problem.seed))
      .first->second;
}

const reorder::Csr& Workload::transposed() {
  if (!transposed_) transposed_ = reorder::transpose(mask_.pattern);
  return *transposed_;
}

}  // namespace experiments

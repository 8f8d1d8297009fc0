// SPDX-License-Identifier: Apache-2.0
#include "experiments/call_cost.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <vector>

#include "experiments/parameters.hpp"
#include "reorder/objective.hpp"

namespace experiments {
namespace {

reorder::Tile tile_of(const attn::TileShape& shape) {
  return {shape.block_m, shape.block_n};
}

/// The most steps that a row takes in one piece.
std::int64_t longest_row(std::span<const reorder::TileRowCounts> rows, const attn::Walk& walk) {
  if (walk.shortest_cut == 0 || rows.empty()) return std::numeric_limits<std::int64_t>::max();
  std::int64_t all = 0;
  for (const reorder::TileRowCounts& row : rows) all += row.nonempty;
  return std::max({walk.shortest_cut / walk.step.block_n, 4 * (all / std::ssize(rows)),
                   all / walk.processors, std::int64_t{1}});
}

}  // namespace

WalkCounts count_walk(const reorder::CsrView& mask, const reorder::Ordering& ordering,
                      const attn::Walk& walk) {
  const reorder::Tile part = tile_of(walk.part);
  const reorder::Tile step = tile_of(walk.step);
  const auto parts = reorder::count_tile_rows(mask, ordering, part);
  const auto steps = step == part ? parts : reorder::count_tile_rows(mask, ordering, step);
  const auto parts_of_a_step = static_cast<std::size_t>(step.rows / part.rows);
  const std::int64_t longest = longest_row(steps, walk);
  WalkCounts counts{.rows = static_cast<std::int64_t>(steps.size())};
  for (std::size_t row = 0; row < steps.size(); ++row) {
    const std::size_t begin = row * parts_of_a_step;
    const std::size_t end = std::min(begin + parts_of_a_step, parts.size());
    std::int64_t full = 0;
    std::int64_t partial = 0;
    for (std::size_t i = begin; i < end; ++i) {
      full += parts[i].full;
      partial += parts[i].nonempty - parts[i].full;
    }
    counts.full += full;
    counts.partial += partial;
    counts.steps += steps[row].nonempty;
    std::int64_t pieces = 1;
    while (steps[row].nonempty > longest * pieces) pieces *= 2;
    counts.rows += pieces - 1;
    const auto piece = [pieces](std::int64_t of) { return (of + pieces - 1) / pieces; };
    if (piece(steps[row].nonempty) > counts.heaviest_steps) {
      counts.heaviest_full = piece(full);
      counts.heaviest_partial = piece(partial);
      counts.heaviest_steps = piece(steps[row].nonempty);
    }
  }
  return counts;
}

CostPoint cost_point(const WalkCounts& counts, double heads) {
  const auto all = [&](std::int64_t count) { return heads * static_cast<double>(count); };
  return {.full = all(counts.full),
          .partial = all(counts.partial),
          .steps = all(counts.steps),
          .rows = all(counts.rows),
          .calls = 1,
          .heaviest_full = static_cast<double>(counts.heaviest_full),
          .heaviest_partial = static_cast<double>(counts.heaviest_partial),
          .heaviest_steps = static_cast<double>(counts.heaviest_steps)};
}

CallCost fit_calls(std::span<const CostPoint> points, const attn::Walk& walk) {
  std::vector<CostPoint> terms(points.begin(), points.end());
  if (tile_of(walk.part) == tile_of(walk.step)) {
    // Said already by the parts.
    for (CostPoint& point : terms) point.steps = point.heaviest_steps = 0;
  }
  const CostFit fit = fit_costs(terms);
  return {.part = attn::to_string(walk.part),
          .step = attn::to_string(walk.step),
          .shortest_cut = walk.shortest_cut,
          .processors = walk.processors,
          .t_call = fit.t_call,
          .t_full = fit.t_full,
          .t_partial = fit.t_partial,
          .t_step = fit.t_step,
          .t_row = fit.t_row,
          .rows_at_once = fit.rows_at_once,
          .r2 = fit.r2,
          .worst = fit.worst};
}

double predict(const CallCost& cost, const reorder::CsrView& mask,
               const reorder::Ordering& ordering, double heads) {
  const attn::Walk walk{tile_shape(parse_tile(cost.part)), tile_shape(parse_tile(cost.step)),
                        cost.shortest_cut, cost.processors};
  const CostFit fit{.t_full = cost.t_full,
                    .t_partial = cost.t_partial,
                    .t_step = cost.t_step,
                    .t_row = cost.t_row,
                    .t_call = cost.t_call,
                    .rows_at_once = cost.rows_at_once};
  return fit.predict(cost_point(count_walk(mask, ordering, walk), heads));
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/call_cost.hpp"

#include <vector>

#include "experiments/parameters.hpp"
#include "reorder/objective.hpp"

namespace experiments {
namespace {

reorder::Tile tile_of(const attn::TileShape& shape) {
  return {shape.block_m, shape.block_n};
}

}  // namespace

WalkCounts count_walk(const reorder::CsrView& mask, const reorder::Ordering& ordering,
                      const attn::Walk& walk) {
  const reorder::Tile part = tile_of(walk.part);
  const reorder::Tile step = tile_of(walk.step);
  const auto parts = reorder::count_tiles(mask, ordering, part);
  WalkCounts counts{.full = parts.full, .partial = parts.partial(), .rows = parts.tile_rows};
  if (step == part) {
    counts.steps = parts.nonempty;
  } else {
    const auto steps = reorder::count_tiles(mask, ordering, step);
    counts.steps = steps.nonempty;
    counts.rows = steps.tile_rows;
  }
  return counts;
}

CostPoint cost_point(const WalkCounts& counts, double heads) {
  const auto all = [&](std::int64_t count) { return heads * static_cast<double>(count); };
  return {.full = all(counts.full),
          .partial = all(counts.partial),
          .steps = all(counts.steps),
          .rows = all(counts.rows),
          .calls = 1};
}

CallCost fit_calls(std::span<const CostPoint> points, const attn::Walk& walk) {
  std::vector<CostPoint> terms(points.begin(), points.end());
  if (tile_of(walk.part) == tile_of(walk.step)) {
    for (CostPoint& point : terms) point.steps = 0;  // said already by the parts
  }
  const CostFit fit = fit_costs(terms);
  return {.part = to_string(tile_of(walk.part)),
          .step = to_string(tile_of(walk.step)),
          .t_call = fit.t_call,
          .t_full = fit.t_full,
          .t_partial = fit.t_partial,
          .t_step = fit.t_step,
          .t_row = fit.t_row,
          .r2 = fit.r2,
          .worst = fit.worst};
}

double predict(const CallCost& cost, const reorder::CsrView& mask,
               const reorder::Ordering& ordering, double heads) {
  const attn::Walk walk{tile_shape(parse_tile(cost.part)), tile_shape(parse_tile(cost.step))};
  const CostFit fit{.t_full = cost.t_full,
                    .t_partial = cost.t_partial,
                    .t_step = cost.t_step,
                    .t_row = cost.t_row,
                    .t_call = cost.t_call};
  return fit.predict(cost_point(count_walk(mask, ordering, walk), heads));
}

}  // namespace experiments

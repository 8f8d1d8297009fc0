// SPDX-License-Identifier: Apache-2.0
#include "experiments/call_cost.hpp"

#include "experiments/parameters.hpp"
#include "reorder/objective.hpp"

namespace experiments {
namespace {

reorder::Tile tile_of(const attn::TileShape& shape) {
  return {shape.block_m, shape.block_n};
}

}  // namespace

CostPoint count_walk(const reorder::CsrView& mask, const reorder::Ordering& ordering,
                     const attn::Walk& walk, double heads) {
  const reorder::Tile part = tile_of(walk.part);
  const reorder::Tile step = tile_of(walk.step);
  const auto parts = reorder::count_tiles(mask, ordering, part);
  CostPoint point{.full = heads * static_cast<double>(parts.full),
                  .partial = heads * static_cast<double>(parts.partial()),
                  .rows = heads * static_cast<double>(parts.tile_rows),
                  .calls = 1};
  if (step != part) {
    const auto steps = reorder::count_tiles(mask, ordering, step);
    point.steps = heads * static_cast<double>(steps.nonempty);
    point.rows = heads * static_cast<double>(steps.tile_rows);
  }
  return point;
}

CallCost fit_calls(std::span<const CostPoint> points, const attn::Walk& walk) {
  const CostFit fit = fit_costs(points);
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
  return fit.predict(count_walk(mask, ordering, walk, heads));
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "attn/backend.hpp"
#include "experiments/fields.hpp"
#include "experiments/fit.hpp"
#include "experiments/record.hpp"
#include "reorder/csr.hpp"
#include "reorder/permutation.hpp"

namespace experiments {

/// What a forward call takes, by what the backend goes through (attn::Walk):
///
///     work = heads · (t_full · full parts + t_partial · partial parts
///                     + t_step · steps + t_row · rows of steps)
///
/// with heads = batch · query heads. A part that is visited costs its products, a step the loading
/// of its keys whatever of it is needed, a row the reading of Q and the writing of O: the floor
/// that memory sets. Where a backend walks tile by tile, a step is a part.
///
/// The work is shared by `rows_at_once` rows that go on side by side, as many as there are
/// multiprocessors or threads. So no call is through before its heaviest row is, whose own work
/// counts that many times, and the last row to begin keeps the others waiting:
///
///     ms = t_call + max(work · (1 + rows_at_once / (2 · heads · rows)),
///                       rows_at_once · work of the heaviest row)
///
/// where the first bracket is 1 as long as all rows go on at once. t_call is a launch. A row that
/// the backend cuts along its keys counts as its parts.
struct CallCost {
  std::string part;               ///< "64x64"
  std::string step;               ///< "192x128"
  std::int64_t shortest_cut = 0;  ///< as in attn::Walk, as the next
  int processors = 1;
  double t_call = 0;
  double t_full = 0;  ///< this and the others: for each pair of batch element and head
  double t_partial = 0;
  double t_step = 0;
  double t_row = 0;
  double rows_at_once = 0;  ///< 0 in files from before it: work is shared without a rest
  double r2 = 0;            ///< of the fit
  double worst = 0;         ///< the largest relative residual of the fit
};

template <class T, class Visit>
requires Is<T, CallCost>
void fields(T& c, Visit&& visit) {
  visit("part", c.part);
  visit("step", c.step);
  visit("shortest_cut", c.shortest_cut);
  visit("processors", c.processors);
  visit("t_call", c.t_call);
  visit("t_full", c.t_full);
  visit("t_partial", c.t_partial);
  visit("t_step", c.t_step);
  visit("t_row", c.t_row);
  visit("rows_at_once", c.rows_at_once);
  visit("r2", c.r2);
  visit("worst", c.worst);
}

/// What one head goes through under a mask in this order.
[[nodiscard]] WalkCounts count_walk(const reorder::CsrView& mask, const reorder::Ordering& ordering,
                                    const attn::Walk& walk);

/// ... and a call of so many heads; its time is left open.
[[nodiscard]] CostPoint cost_point(const WalkCounts& counts, double heads);

/// Needs at least one point that was counted for this walk.
[[nodiscard]] CallCost fit_calls(std::span<const CostPoint> points, const attn::Walk& walk);

/// Milliseconds of a call.
[[nodiscard]] double predict(const CallCost& cost, const reorder::CsrView& mask,
                             const reorder::Ordering& ordering, double heads);

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace experiments {

/// One measured call: what it went through, and how long it took.
struct CostPoint {
  double full = 0;     ///< full tiles, or parts of tiles
  double partial = 0;  ///< partial ones
  double steps = 0;    ///< keys loaded for a row of tiles; 0 where a step is a tile
  double rows = 0;     ///< rows of tiles
  double calls = 0;    ///< 1, or 0 where a call by itself is to cost nothing
  /// Of its heaviest row alone; 0 where nothing is known of it.
  double heaviest_full = 0;
  double heaviest_partial = 0;
  double heaviest_steps = 0;
  double ms = 0;  ///< must be above 0
};

/// A plane through the points, and what rows that go on side by side add to it.
struct CostFit {
  double t_full = 0;
  double t_partial = 0;
  double t_step = 0;
  double t_row = 0;
  double t_call = 0;
  /// Rows that go on side by side: one of them by itself takes this many times its share of the
  /// plane. 0: all rows share all there is, the plane alone.
  double rows_at_once = 0;
  double r2 = 0;     ///< share of the times' variance that the fit explains
  double worst = 0;  ///< largest |ms / predicted − 1|

  /// A call ends with its heaviest row, or when all the work is shared out; then the last row to
  /// begin is half way through, on average, when nothing else is left to do.
  [[nodiscard]] double predict(const CostPoint& point) const noexcept;
};

/// Coefficients that are not negative, with the least sum of squared relative errors; the same fit
/// as plot.py's. What no point has costs 0, and points that know nothing of their heaviest rows
/// leave `rows_at_once` 0. Needs at least one point.
[[nodiscard]] CostFit fit_costs(std::span<const CostPoint> points);

}  // namespace experiments

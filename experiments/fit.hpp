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
  double ms = 0;       ///< must be above 0
};

/// A plane through the points.
struct CostFit {
  double t_full = 0;
  double t_partial = 0;
  double t_step = 0;
  double t_row = 0;
  double t_call = 0;
  double r2 = 0;     ///< share of the times' variance that the fit explains
  double worst = 0;  ///< largest |ms / predicted − 1|

  [[nodiscard]] double predict(const CostPoint& point) const noexcept {
    return t_full * point.full + t_partial * point.partial + t_step * point.steps +
           t_row * point.rows + t_call * point.calls;
  }
};

/// Coefficients that are not negative, with the least sum of squared relative errors; the same fit
/// as plot.py's. What no point has costs 0. Needs at least one point.
[[nodiscard]] CostFit fit_costs(std::span<const CostPoint> points);

}  // namespace experiments

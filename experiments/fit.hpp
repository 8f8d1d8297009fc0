// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace experiments {

/// One measured call: what it visited, and how long it took.
struct CostPoint {
  double full = 0;     ///< full tiles
  double partial = 0;  ///< partial tiles
  double rows = 0;     ///< rows of tiles
  double ms = 0;       ///< must be above 0
};

struct CostFit {
  double t_full = 0;
  double t_partial = 0;
  double t_row = 0;
  double r2 = 0;     ///< share of the times' variance that the fit explains
  double worst = 0;  ///< largest |ms / predicted − 1|

  [[nodiscard]] double predict(const CostPoint& point) const noexcept {
    return t_full * point.full + t_partial * point.partial + t_row * point.rows;
  }
};

/// Coefficients that are not negative, with the least sum of squared relative errors; the same fit
/// as plot.py's. Needs at least one point.
[[nodiscard]] CostFit fit_costs(std::span<const CostPoint> points);

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/fit.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace experiments {

CostFit fit_costs(std::span<const CostPoint> points) {
  constexpr Eigen::Index kTerms = 5;
  const auto n = static_cast<Eigen::Index>(points.size());
  // Each row divided by its time: what is left over is a relative error.
  Eigen::Matrix<double, Eigen::Dynamic, kTerms> features(n, kTerms);
  for (Eigen::Index i = 0; i < n; ++i) {
    const CostPoint& p = points[static_cast<std::size_t>(i)];
    features.row(i) << p.full, p.partial, p.steps, p.rows, p.calls;
    features.row(i) /= p.ms;
  }
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(n);

  // Few unknowns: the best of all subsets whose solution is not negative is the exact answer.
  Eigen::Vector<double, kTerms> best = Eigen::Vector<double, kTerms>::Zero();
  double best_error = std::numeric_limits<double>::infinity();
  for (unsigned subset = (1U << kTerms) - 1; subset > 0; --subset) {
    std::vector<Eigen::Index> columns;
    for (Eigen::Index c = 0; c < kTerms; ++c) {
      if ((subset >> c & 1U) != 0) columns.push_back(c);
    }
    const Eigen::MatrixXd chosen = features(Eigen::all, columns);
    const Eigen::VectorXd solution = chosen.completeOrthogonalDecomposition().solve(ones);
    if ((solution.array() < 0).any()) continue;
    const double error = (chosen * solution - ones).squaredNorm();
    if (error < best_error - 1e-12) {
      best_error = error;
      best.setZero();
      best(columns) = solution;
    }
  }

  CostFit fit{.t_full = best(0),
              .t_partial = best(1),
              .t_step = best(2),
              .t_row = best(3),
              .t_call = best(4)};
  double mean = 0;
  for (const CostPoint& p : points) mean += p.ms / static_cast<double>(n);
  double spread = 0;
  double left = 0;
  for (const CostPoint& p : points) {
    const double predicted = fit.predict(p);
    spread += (p.ms - mean) * (p.ms - mean);
    left += (p.ms - predicted) * (p.ms - predicted);
    fit.worst = std::max(fit.worst, std::abs(p.ms / predicted - 1));
  }
  fit.r2 = spread > 0 ? 1 - left / spread : 1;
  return fit;
}

}  // namespace experiments

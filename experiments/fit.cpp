// SPDX-License-Identifier: Apache-2.0
#include "experiments/fit.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace experiments {
namespace {

constexpr Eigen::Index kTerms = 5;
using Terms = Eigen::Vector<double, kTerms>;
using Features = Eigen::Matrix<double, Eigen::Dynamic, kTerms>;

constexpr double kMostRowsAtOnce = 1024;
constexpr double kCoarse = 1.03;  // between two that are tried,
constexpr double kFine = 1.001;   // and then around the best of these
constexpr int kRounds = 8;        // to settle which points end with their heaviest row

Terms shared_out(const CostPoint& p, double rows_at_once) {
  // Where all rows go on at once none begins last.
  const double lag = p.rows > rows_at_once ? 1 + rows_at_once / (2 * p.rows) : 1;
  return {lag * p.full, lag * p.partial, lag * p.steps, lag * p.rows, p.calls};
}

Terms heaviest_row(const CostPoint& p, double rows_at_once) {
  return {rows_at_once * p.heaviest_full, rows_at_once * p.heaviest_partial,
          rows_at_once * p.heaviest_steps, rows_at_once * (p.rows > 0 ? 1 : 0), p.calls};
}

/// Few unknowns: the best of all subsets whose solution is not negative is the exact answer.
Terms solve(const Features& features) {
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(features.rows());
  Terms best = Terms::Zero();
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
  return best;
}

Terms terms_of(const CostFit& fit) {
  return {fit.t_full, fit.t_partial, fit.t_step, fit.t_row, fit.t_call};
}

double squared_errors(const CostFit& fit, std::span<const CostPoint> points) {
  double sum = 0;
  for (const CostPoint& p : points) sum += std::pow(fit.predict(p) / p.ms - 1, 2);
  return sum;
}

/// With so many rows at once. Which points end with their heaviest row depends on the
/// coefficients: begun with none, and taken from the last solution until it stays.
CostFit fit_with(std::span<const CostPoint> points, double rows_at_once) {
  CostFit fit{.rows_at_once = rows_at_once};
  Features features(static_cast<Eigen::Index>(points.size()), kTerms);
  for (int round = 0; round < kRounds; ++round) {
    const Terms terms = terms_of(fit);
    const Features before = features;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Terms all = shared_out(points[i], rows_at_once);
      const Terms heaviest = heaviest_row(points[i], rows_at_once);
      // Each divided by its time: what is left over is a relative error.
      features.row(static_cast<Eigen::Index>(i)) =
          (heaviest.dot(terms) > all.dot(terms) ? heaviest : all) / points[i].ms;
    }
    if (round > 0 && features == before) break;
    const Terms best = solve(features);
    fit.t_full = best(0);
    fit.t_partial = best(1);
    fit.t_step = best(2);
    fit.t_row = best(3);
    fit.t_call = best(4);
  }
  return fit;
}

}  // namespace

double CostFit::predict(const CostPoint& point) const noexcept {
  const Terms terms = terms_of(*this);
  return std::max(shared_out(point, rows_at_once).dot(terms),
                  heaviest_row(point, rows_at_once).dot(terms));
}

CostFit fit_costs(std::span<const CostPoint> points) {
  CostFit fit = fit_with(points, 0);
  double least = squared_errors(fit, points);
  if (std::any_of(points.begin(), points.end(),
                  [](const CostPoint& p) { return p.heaviest_full + p.heaviest_partial > 0; })) {
    const auto search = [&](double from, double to, double factor) {
      for (double rows = from; rows <= to; rows *= factor) {
        const CostFit other = fit_with(points, rows);
        const double error = squared_errors(other, points);
        if (error < least - 1e-12) {
          least = error;
          fit = other;
        }
      }
    };
    search(1, kMostRowsAtOnce, kCoarse);
    const double coarse = fit.rows_at_once;
    if (coarse > 0) search(coarse / kCoarse, coarse * kCoarse, kFine);
  }
  double mean = 0;
  for (const CostPoint& p : points) mean += p.ms / static_cast<double>(points.size());
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

// SPDX-License-Identifier: Apache-2.0
#include "experiments/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/oracle_parts.hpp"
#include "experiments/text.hpp"

namespace experiments {
namespace {

/// Multiplications of Q·K that the whole answer, and a sample, may take: about a second and a tenth
/// of one on one core.
constexpr double kWholeWork = 2e8;
constexpr double kSampleWork = 1.5e7;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// O and LSE of one query over its keys. Real = double is the oracle; Real = float with P and O
/// rounded to the tensors' type is the plain computation that sets the tolerance.
template <class Real>
struct RowResult {
  std::vector<Real> o;
  Real lse;
};

/// One head's matrix, widened once.
template <class Real>
std::vector<Real> widen_head(const attn::TensorView& tensor, std::int64_t b, std::int64_t h) {
  std::vector<Real> values;
  values.reserve(static_cast<std::size_t>(tensor.rows() * tensor.width()));
  for (std::int64_t i = 0; i < tensor.rows(); ++i) {
    for (std::int64_t d = 0; d < tensor.width(); ++d) {
      values.push_back(static_cast<Real>(element(tensor, b, h, i, d)));
    }
  }
  return values;
}

template <class Real, class Round>
RowResult<Real> attend(std::span<const std::int32_t> keys, const Real* q, const Real* k,
                       const Real* v, std::size_t width, Real scale, Round&& round) {
  RowResult<Real> result{std::vector<Real>(width, 0), -std::numeric_limits<Real>::infinity()};
  if (keys.empty()) return result;
  std::vector<Real> p(keys.size());
  Real largest = -std::numeric_limits<Real>::infinity();
  for (std::size_t j = 0; j < keys.size(); ++j) {
    const Real* row = k + static_cast<std::size_t>(keys[j]) * width;
    Real dot = 0;
    for (std::size_t d = 0; d < width; ++d) dot += q[d] * row[d];
    p[j] = scale * dot;
    largest = std::max(largest, p[j]);
  }
  Real sum = 0;
  for (std::size_t j = 0; j < keys.size(); ++j) {
    p[j] = std::exp(p[j] - largest);
    sum += p[j];
    const Real weight = round(p[j]);
    const Real* row = v + static_cast<std::size_t>(keys[j]) * width;
    for (std::size_t d = 0; d < width; ++d) result.o[d] += weight * row[d];
  }
  for (Real& value : result.o) value = round(value / sum);
  result.lse = largest + std::log(sum);
  return result;
}

}  // namespace

Oracle::Oracle(const reorder::CsrView& mask, const Inputs& inputs, float scale, Scope scope,
               std::uint64_t seed) {
  const attn::TensorView& q = inputs.q.view;
  const std::int64_t heads_total = q.batch() * q.heads();
  const auto width = static_cast<std::size_t>(q.width());
  rows_total_ = heads_total * mask.n_rows;
  if (scope == Scope::none || rows_total_ == 0) return;

  const double work = static_cast<double>(mask.nnz()) * static_cast<double>(heads_total) *
                      static_cast<double>(width);
  const bool whole = scope == Scope::whole || work <= kWholeWork;
  scope_ = whole ? "whole" : "sample";
  // By head, so that a head's keys are widened once.
  const auto chosen =
      whole ? all_rows(mask, heads_total)
            : sample_rows(mask, heads_total, static_cast<double>(width), kSampleWork, seed);

  const std::int64_t group = q.heads() / inputs.k.view.heads();
  double plain_error = 0;
  double plain_lse_error = 0;
  for (std::int64_t bh = 0; bh < heads_total; ++bh) {
    const std::int64_t b = bh / q.heads();
    const std::int64_t h = bh % q.heads();
    const auto& rows = chosen[static_cast<std::size_t>(bh)];
    if (rows.empty()) continue;
    const auto k64 = widen_head<double>(inputs.k.view, b, h / group);
    const auto v64 = widen_head<double>(inputs.v.view, b, h / group);
    const std::vector<float> k32(k64.begin(), k64.end());
    const std::vector<float> v32(v64.begin(), v64.end());
    for (const std::int64_t i : rows) {
      std::vector<double> q64(width);
      for (std::size_t d = 0; d < width; ++d) {
        q64[d] = element(q, b, h, i, static_cast<std::int64_t>(d));
      }
      const std::vector<float> q32(q64.begin(), q64.end());
      const auto keys = mask.row(static_cast<std::int32_t>(i));
      auto exact = attend<double>(keys, q64.data(), k64.data(), v64.data(), width,
                                  static_cast<double>(scale), [](double x) { return x; });
      const auto plain = attend<float>(keys, q32.data(), k32.data(), v32.data(), width, scale,
                                       [&](float x) { return rounded(q.dtype, x); });
      for (std::size_t d = 0; d < width; ++d) {
        plain_error = std::max(plain_error, std::abs(static_cast<double>(plain.o[d]) - exact.o[d]));
      }
      if (!keys.empty()) {
        plain_lse_error =
            std::max(plain_lse_error, std::abs(static_cast<double>(plain.lse) - exact.lse));
      }
      rows_.push_back({b, h, i, exact.lse, std::move(exact.o)});
    }
  }
  tolerance_ = 2 * plain_error + allowance(q.dtype);
  lse_tolerance_ = 2 * plain_lse_error + 1e-4;
}

Oracle::Check Oracle::compare(const attn::TensorView& o, const attn::TensorView& lse,
                              double multiple) const {
  const double lse_limit = multiple * lse_tolerance_;
  const double nmse_limit = multiple * kLimitNmse;
  Check check;
  // Each comparison asks whether the value is within its limit: no NaN passes, on either side.
  double squared_error = 0;
  double squared_value = 0;
  const auto mismatch = [&](const Row& row, const std::string& what, double actual, double expected,
                            double limit) {
    if (!check.mismatch.empty()) return;
    check.mismatch = what + " of query " + std::to_string(row.i) + " (batch " +
                     std::to_string(row.b) + ", head " + std::to_string(row.h) + ") is " +
                     scientific(actual, 6) + ", the oracle has " + scientific(expected, 6) +
                     ", allowed difference " + scientific(limit);
  };
  for (const Row& row : rows_) {
    const bool empty = row.lse == -kInfinity;
    for (std::size_t d = 0; d < row.o.size(); ++d) {
      const double actual = element(o, row.b, row.h, row.i, static_cast<std::int64_t>(d));
      double error = std::abs(actual - row.o[d]);
      if (!(error < kInfinity)) error = kInfinity;  // NaN too
      const double limit = empty ? 0 : multiple * tolerance_;
      if (!(error <= limit)) {
        mismatch(row, "O[" + std::to_string(d) + "]", actual, row.o[d], limit);
      }
      check.max_error = std::max(check.max_error, error);
      squared_error += error * error;
      squared_value += row.o[d] * row.o[d];
    }
    const double actual = element(lse, row.b, row.h, row.i, 0);
    double error = actual == row.lse ? 0 : std::abs(actual - row.lse);
    if (!(error < kInfinity)) error = kInfinity;
    if (!(error <= lse_limit)) mismatch(row, "LSE", actual, row.lse, lse_limit);
    check.max_lse_error = std::max(check.max_lse_error, error);
  }
  check.nmse = squared_value > 0 ? squared_error / squared_value : 0;
  if (check.mismatch.empty() && !(check.nmse <= nmse_limit)) {
    check.mismatch = "the normalised mean squared error of O is " + scientific(check.nmse) +
                     ", allowed " + scientific(nmse_limit);
  }
  return check;
}

}  // namespace experiments

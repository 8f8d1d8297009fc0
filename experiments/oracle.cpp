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

/// One head's matrix, each row widened when it is first asked for: a sample reads few of them.
template <class Real>
class WideRows {
 public:
  explicit WideRows(const attn::TensorView& tensor)
      : tensor_(tensor),
        values_(static_cast<std::size_t>(tensor.rows() * tensor.width())),
        known_(static_cast<std::size_t>(tensor.rows())) {}

  void move_to(std::int64_t b, std::int64_t h) {
    if (b == b_ && h == h_) return;
    b_ = b;
    h_ = h;
    known_.assign(known_.size(), false);
  }
  const Real* row(std::int64_t i) {
    const auto width = static_cast<std::size_t>(tensor_.width());
    const auto at = static_cast<std::size_t>(i);
    Real* const row = values_.data() + at * width;
    if (!known_[at]) {
      for (std::size_t d = 0; d < width; ++d) {
        row[d] = static_cast<Real>(element(tensor_, b_, h_, i, static_cast<std::int64_t>(d)));
      }
      known_[at] = true;
    }
    return row;
  }

 private:
  const attn::TensorView& tensor_;
  std::vector<Real> values_;
  std::vector<bool> known_;
  std::int64_t b_ = -1;
  std::int64_t h_ = -1;
};

template <class Real, class Round>
RowResult<Real> attend(std::span<const std::int32_t> keys, const Real* q, WideRows<Real>& k,
                       WideRows<Real>& v, std::size_t width, Real scale, Round&& round) {
  RowResult<Real> result{std::vector<Real>(width, 0), -std::numeric_limits<Real>::infinity()};
  if (keys.empty()) return result;
  std::vector<Real> p(keys.size());
  Real largest = -std::numeric_limits<Real>::infinity();
  for (std::size_t j = 0; j < keys.size(); ++j) {
    const Real* row = k.row(keys[j]);
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
    const Real* row = v.row(keys[j]);
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

  const double work = work_of(mask, heads_total, static_cast<double>(width));
  const bool whole = scope == Scope::whole || work <= kWholeWork;
  scope_ = whole ? "whole" : "sample";
  // By head, so that a key is widened once.
  const auto chosen =
      whole ? all_rows(mask, heads_total)
            : sample_rows(mask, heads_total, static_cast<double>(width), kSampleWork, seed);

  const std::int64_t group = q.heads() / inputs.k.view.heads();
  double plain_error = 0;
  double plain_lse_error = 0;
  WideRows<double> k64(inputs.k.view), v64(inputs.v.view);
  WideRows<float> k32(inputs.k.view), v32(inputs.v.view);
  for (std::int64_t bh = 0; bh < heads_total; ++bh) {
    const std::int64_t b = bh / q.heads();
    const std::int64_t h = bh % q.heads();
    const auto& rows = chosen[static_cast<std::size_t>(bh)];
    if (rows.empty()) continue;
    k64.move_to(b, h / group);
    v64.move_to(b, h / group);
    k32.move_to(b, h / group);
    v32.move_to(b, h / group);
    for (const std::int64_t i : rows) {
      std::vector<double> q64(width);
      for (std::size_t d = 0; d < width; ++d) {
        q64[d] = element(q, b, h, i, static_cast<std::int64_t>(d));
      }
      const std::vector<float> q32(q64.begin(), q64.end());
      const auto keys = mask.row(static_cast<std::int32_t>(i));
      auto exact = attend<double>(keys, q64.data(), k64, v64, width, static_cast<double>(scale),
                                  [](double x) { return x; });
      const auto plain = attend<float>(keys, q32.data(), k32, v32, width, scale,
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
                              double multiple, std::span<const std::int32_t> place) const {
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
    const std::int64_t at = place.empty() ? row.i : place[static_cast<std::size_t>(row.i)];
    for (std::size_t d = 0; d < row.o.size(); ++d) {
      const double actual = element(o, row.b, row.h, at, static_cast<std::int64_t>(d));
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
    const double actual = element(lse, row.b, row.h, at, 0);
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

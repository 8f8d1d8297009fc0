// SPDX-License-Identifier: Apache-2.0
#include "experiments/gradient_oracle.hpp"

#include <cmath>
#include <limits>

#include "experiments/oracle_parts.hpp"
#include "experiments/text.hpp"

namespace experiments {
namespace {

/// Multiplications of Q·K that the whole answer, and a sample, may take: about a second and a
/// tenth of one on one core.
constexpr double kWholeWork = 4e7;
constexpr double kSampleWork = 4e6;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Real>
void load(const attn::TensorView& tensor, std::int64_t b, std::int64_t h, std::int64_t i,
          std::vector<Real>& row) {
  row.resize(static_cast<std::size_t>(tensor.width()));
  for (std::int64_t d = 0; d < tensor.width(); ++d) {
    row[static_cast<std::size_t>(d)] = static_cast<Real>(element(tensor, b, h, i, d));
  }
}

template <class Real>
Real dot(const std::vector<Real>& a, const std::vector<Real>& b) {
  Real sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

template <class Real>
void add(std::vector<Real>& sum, Real factor, const std::vector<Real>& row) {
  for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += factor * row[d];
}

/// Gradients of single queries and keys. Real = double is the oracle; Real = float with P, dS and
/// the result rounded to the tensors' type is the plain computation that sets the tolerance.
template <class Real>
class Exact {
 public:
  Exact(const reorder::CsrView& mask, const reorder::CsrView& transposed, const Inputs& in,
        const Outputs& given, std::span<const std::int32_t> place, float scale)
      : mask_(mask),
        transposed_(transposed),
        in_(in),
        given_(given),
        place_(place),
        scale_(scale),
        group_(in.q.view.heads() / in.k.view.heads()) {}

  std::vector<Real> dq(std::int64_t b, std::int64_t h, std::int64_t i) {
    const std::int64_t kv_head = h / group_;
    std::vector<Real> sum(static_cast<std::size_t>(in_.q.view.width()), 0);
    load_query(b, h, i);
    for (const std::int32_t j : mask_.row(static_cast<std::int32_t>(i))) {
      load_key(b, kv_head, j);
      add(sum, round(pair().ds), k_);
    }
    return finished(sum, scale_);
  }

  /// dK and dV.
  std::array<std::vector<Real>, 2> dk_dv(std::int64_t b, std::int64_t kv_head, std::int64_t j) {
    std::vector<Real> dk(static_cast<std::size_t>(in_.q.view.width()), 0);
    std::vector<Real> dv = dk;
    load_key(b, kv_head, j);
    for (std::int64_t h = kv_head * group_; h < (kv_head + 1) * group_; ++h) {
      for (const std::int32_t i : transposed_.row(static_cast<std::int32_t>(j))) {
        load_query(b, h, i);
        const auto [p, ds] = pair();
        add(dk, round(ds), q_);
        add(dv, round(p), d_o_);
      }
    }
    return {finished(dk, scale_), finished(dv, Real{1})};
  }

 private:
  struct Pair {
    Real p, ds;
  };

  void load_query(std::int64_t b, std::int64_t h, std::int64_t i) {
    load(in_.q.view, b, h, i, q_);
    load(in_.d_o.view, b, h, i, d_o_);
    const std::int64_t at = place_.empty() ? i : place_[static_cast<std::size_t>(i)];
    load(given_.o.view, b, h, at, o_);
    lse_ = static_cast<Real>(element(given_.lse.view, b, h, at, 0));
    delta_ = dot(d_o_, o_);
  }
  void load_key(std::int64_t b, std::int64_t kv_head, std::int64_t j) {
    load(in_.k.view, b, kv_head, j, k_);
    load(in_.v.view, b, kv_head, j, v_);
  }
  [[nodiscard]] Pair pair() const {
    const Real p = std::exp(scale_ * dot(q_, k_) - lse_);
    return {p, p * (dot(d_o_, v_) - delta_)};
  }
  [[nodiscard]] Real round(Real value) const {
    if constexpr (std::is_same_v<Real, float>) return rounded(in_.q.view.dtype, value);
    return value;
  }
  [[nodiscard]] std::vector<Real> finished(std::vector<Real> sum, Real factor) const {
    for (Real& value : sum) value = round(factor * value);
    return sum;
  }

  const reorder::CsrView& mask_;
  const reorder::CsrView& transposed_;
  const Inputs& in_;
  const Outputs& given_;
  std::span<const std::int32_t> place_;
  Real scale_;
  std::int64_t group_;
  std::vector<Real> q_, d_o_, o_, k_, v_;
  Real lse_ = 0;
  Real delta_ = 0;
};

}  // namespace

GradientOracle::GradientOracle(const reorder::CsrView& mask, const reorder::CsrView& columns,
                               const Inputs& inputs, const Outputs& given, float scale, Scope scope,
                               std::uint64_t seed, std::span<const std::int32_t> q_place) {
  if (scope == Scope::none) return;
  const auto& q = inputs.q.view;
  const std::int64_t q_heads = q.batch() * q.heads();
  const std::int64_t kv_heads = q.batch() * inputs.k.view.heads();
  const auto width = static_cast<double>(q.width());
  const double work = work_of(mask, q_heads, width);
  const bool whole = scope == Scope::whole || work <= kWholeWork;
  scope_ = whole ? "whole" : "sample";
  const auto queries =
      whole ? all_rows(mask, q_heads) : sample_rows(mask, q_heads, width, kSampleWork, seed);
  const double group = static_cast<double>(q_heads) / static_cast<double>(kv_heads);
  const auto keys = whole ? all_rows(columns, kv_heads)
                          : sample_rows(columns, kv_heads, width * group, kSampleWork, ~seed);

  Exact<double> exact(mask, columns, inputs, given, q_place, scale);
  Exact<float> plain(mask, columns, inputs, given, q_place, scale);
  std::array<double, 3> plain_error{};
  const auto keep = [&](std::size_t which, Row row, const std::vector<float>& yardstick) {
    for (std::size_t d = 0; d < yardstick.size(); ++d) {
      const double error = std::abs(static_cast<double>(yardstick[d]) - row.value[d]);
      plain_error[which] = std::max(plain_error[which], error);
    }
    rows_[which].push_back(std::move(row));
  };
  for (std::int64_t bh = 0; bh < q_heads; ++bh) {
    const std::int64_t b = bh / q.heads();
    const std::int64_t h = bh % q.heads();
    for (const std::int64_t i : queries[static_cast<std::size_t>(bh)]) {
      const bool empty = mask.degree(static_cast<std::int32_t>(i)) == 0;
      keep(0, {b, h, i, empty, exact.dq(b, h, i)}, plain.dq(b, h, i));
    }
  }
  for (std::int64_t bh = 0; bh < kv_heads; ++bh) {
    const std::int64_t b = bh / inputs.k.view.heads();
    const std::int64_t h = bh % inputs.k.view.heads();
    for (const std::int64_t j : keys[static_cast<std::size_t>(bh)]) {
      const bool empty = columns.degree(static_cast<std::int32_t>(j)) == 0;
      auto values = exact.dk_dv(b, h, j);
      const auto yardstick = plain.dk_dv(b, h, j);
      keep(1, {b, h, j, empty, std::move(values[0])}, yardstick[0]);
      keep(2, {b, h, j, empty, std::move(values[1])}, yardstick[1]);
    }
  }
  for (std::size_t which = 0; which < 3; ++which) {
    tolerance_[which] = 2 * plain_error[which] + allowance(q.dtype);
  }
}

GradientOracle::Check GradientOracle::compare(const Gradients& gradients, double multiple,
                                              std::span<const std::int32_t> q_place,
                                              std::span<const std::int32_t> k_place) const {
  constexpr std::array kNames{"dQ", "dK", "dV"};
  const std::array tensors{&gradients.dq.view, &gradients.dk.view, &gradients.dv.view};
  Check check;
  for (std::size_t which = 0; which < 3; ++which) {
    const auto place = which == 0 ? q_place : k_place;
    double squared_error = 0;
    double squared_value = 0;
    for (const Row& row : rows_[which]) {
      const std::int64_t at = place.empty() ? row.i : place[static_cast<std::size_t>(row.i)];
      const double limit = row.empty ? 0 : multiple * tolerance_[which];
      for (std::size_t d = 0; d < row.value.size(); ++d) {
        const double actual =
            element(*tensors[which], row.b, row.h, at, static_cast<std::int64_t>(d));
        double error = std::abs(actual - row.value[d]);
        if (!(error < kInfinity)) error = kInfinity;  // NaN too
        if (!(error <= limit) && check.mismatch.empty()) {
          check.mismatch = std::string(kNames[which]) + "[" + std::to_string(d) + "] of " +
                           (which == 0 ? "query " : "key ") + std::to_string(row.i) + " (batch " +
                           std::to_string(row.b) + ", head " + std::to_string(row.h) + ") is " +
                           scientific(actual, 6) + ", the oracle has " +
                           scientific(row.value[d], 6) + ", allowed difference " +
                           scientific(limit);
        }
        check.max_error[which] = std::max(check.max_error[which], error);
        squared_error += error * error;
        squared_value += row.value[d] * row.value[d];
      }
    }
    const double nmse = squared_value > 0 ? squared_error / squared_value : 0;
    check.nmse = std::max(check.nmse, nmse);
    // Gradients that cancel to nothing are judged by their absolute errors alone.
    const double count =
        static_cast<double>(rows_[which].size()) * static_cast<double>(tensors[which]->width());
    const double root = count > 0 ? std::sqrt(squared_error / count) : 0;
    if (check.mismatch.empty() && !(nmse <= multiple * kLimitNmse) &&
        !(root <= multiple * tolerance_[which] / 8)) {
      check.mismatch = "the normalised mean squared error of " + std::string(kNames[which]) +
                       " is " + scientific(nmse) + ", allowed " + scientific(multiple * kLimitNmse);
    }
  }
  return check;
}

}  // namespace experiments

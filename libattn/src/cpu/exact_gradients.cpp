// SPDX-License-Identifier: Apache-2.0
#include "cpu/exact_gradients.hpp"

#include <cmath>

#include "cpu/exact_row.hpp"
#include "element.hpp"

namespace attn {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

/// sum += factor · row
void add(std::vector<double>& sum, double factor, const std::vector<double>& row) {
  for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += factor * row[d];
}

}  // namespace

ExactGradients::ExactGradients(const BackwardArgs& args, const BlockMask& mask,
                               const TransposedMask& transposed, const Order& q_order,
                               const Order& kv_order)
    : args_(args),
      mask_(mask),
      transposed_(transposed),
      q_order_(q_order),
      kv_order_(kv_order),
      scale_(softmax_scale(args.scale, args.q.width())) {}

void ExactGradients::load_query(std::int64_t b, std::int64_t h, std::int32_t i) {
  const std::int64_t row = q_order_[i];
  load_row(args_.q, b, h, row, query_.q);
  load_row(args_.d_o, b, h, row, query_.d_o);
  load_row(args_.o, b, h, row, o_);
  query_.lse = load_element<DType::f32>(args_.lse, row_offset(args_.lse, b, h, row));
  query_.delta = dot(query_.d_o, o_);
}

ExactGradients::Pair ExactGradients::pair() const {
  const double p = std::exp(scale_ * dot(query_.q, k_) - query_.lse);
  return {p, p * (dot(query_.d_o, v_) - query_.delta)};
}

void ExactGradients::query(std::int64_t b, std::int64_t h, std::int32_t i) {
  const std::int64_t kv_head = h / (args_.q.heads() / args_.k.heads());
  load_query(b, h, i);
  find_allowed_keys(mask_, b, h, i, others_);
  dq_.assign(query_.q.size(), 0.0);
  for (const std::int32_t j : others_) {
    load_row(args_.k, b, kv_head, kv_order_[j], k_);
    load_row(args_.v, b, kv_head, kv_order_[j], v_);
    add(dq_, pair().ds, k_);
  }
  store_row(args_.dq, b, h, q_order_[i], scale_, dq_);
}

void ExactGradients::key(std::int64_t b, std::int64_t kv_head, std::int32_t j) {
  const std::int64_t group = args_.q.heads() / args_.k.heads();
  load_row(args_.k, b, kv_head, kv_order_[j], k_);
  load_row(args_.v, b, kv_head, kv_order_[j], v_);
  dk_.assign(k_.size(), 0.0);
  dv_.assign(k_.size(), 0.0);
  for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
    find_allowing_queries(mask_, transposed_, b, h, j, others_);
    for (const std::int32_t i : others_) {
      load_query(b, h, i);
      const auto [p, ds] = pair();
      add(dk_, ds, query_.q);
      add(dv_, p, query_.d_o);
    }
  }
  store_row(args_.dk, b, kv_head, kv_order_[j], scale_, dk_);
  store_row(args_.dv, b, kv_head, kv_order_[j], 1.0, dv_);
}

}  // namespace attn

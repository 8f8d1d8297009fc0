// SPDX-License-Identifier: Apache-2.0
#include "cpu/exact_row.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "allowed.hpp"
#include "element.hpp"

namespace attn {

double softmax_scale(const std::optional<float>& scale, std::int64_t head_dim) noexcept {
  return scale ? double{*scale} : 1.0 / std::sqrt(static_cast<double>(head_dim));
}

ExactRow::ExactRow(const ForwardArgs& args, const BlockMask& mask, const Order& kv_order)
    : args_(args),
      mask_(&mask),
      kv_order_(&kv_order),
      scale_(softmax_scale(args.scale, args.q.width())) {}

ExactRow::ExactRow(const ForwardArgs& args)
    : args_(args), scale_(softmax_scale(args.scale, args.q.width())) {}

void ExactRow::attend(std::int64_t b, std::int64_t h, std::int32_t i, std::int32_t place) {
  find_allowed_keys(*mask_, b, h, i, keys_);
  for (std::int32_t& key : keys_) key = (*kv_order_)[key];
  attend(b, h, place, keys_);
}

void ExactRow::attend(std::int64_t b, std::int64_t h, std::int32_t place,
                      std::span<const std::int32_t> keys) {
  switch (args_.q.dtype) {
    case DType::f32:
      return attend_as<DType::f32>(b, h, place, keys);
    case DType::f16:
      return attend_as<DType::f16>(b, h, place, keys);
    case DType::bf16:
      return attend_as<DType::bf16>(b, h, place, keys);
  }
}

template <DType kType>
void ExactRow::attend_as(std::int64_t b, std::int64_t h, std::int32_t place,
                         std::span<const std::int32_t> keys) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto& [q, k, v, o, lse, scale, workspace, workspace_bytes, stream] = args_;
  const auto head_dim = static_cast<std::size_t>(q.width());
  const std::int64_t kv_head = h / (q.heads() / k.heads());

  query_.resize(head_dim);
  std::int64_t at = row_offset(q, b, h, place);
  for (double& value : query_) {
    value = load_element<kType>(q, at);
    at += q.strides[3];
  }

  double max = -kInfinity;
  weights_.clear();
  for (const std::int32_t key : keys) {
    double dot = 0;
    at = row_offset(k, b, kv_head, key);
    for (const double value : query_) {
      dot += value * double{load_element<kType>(k, at)};
      at += k.strides[3];
    }
    weights_.push_back(scale_ * dot);
    max = std::max(max, weights_.back());
  }

  double sum = 0;
  output_.assign(head_dim, 0.0);
  for (std::size_t n = 0; n < keys.size(); ++n) {
    const double weight = std::exp(weights_[n] - max);
    sum += weight;
    at = row_offset(v, b, kv_head, keys[n]);
    for (double& value : output_) {
      value += weight * double{load_element<kType>(v, at)};
      at += v.strides[3];
    }
  }

  at = row_offset(o, b, h, place);
  for (const double value : output_) {
    store_element<kType>(o, at, keys.empty() ? 0.0f : static_cast<float>(value / sum));
    at += o.strides[3];
  }
  if (lse.data != nullptr) {
    const double value = keys.empty() ? -kInfinity : max + std::log(sum);
    store_element<DType::f32>(lse, row_offset(lse, b, h, place), static_cast<float>(value));
  }
}

}  // namespace attn

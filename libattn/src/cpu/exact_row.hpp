// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "attn/backend.hpp"
#include "order.hpp"

namespace attn {

/// Attention of single queries in fp64, touching allowed keys only: the reference, and what the
/// fast backend falls back to where non-finite numbers are about.
class ExactRow {
 public:
  /// Borrows all three. The arguments must be valid.
  ExactRow(const ForwardArgs& args, const BlockMask& mask, const Order& kv_order);

  /// For callers that know each query's keys.
  explicit ExactRow(const ForwardArgs& args);

  /// The answer for query head h of batch b and row i of the mask goes to row `place` of O and LSE;
  /// Q is read there too.
  void attend(std::int64_t b, std::int64_t h, std::int32_t i, std::int32_t place);

  /// The same for a query that allows these rows of K and V.
  void attend(std::int64_t b, std::int64_t h, std::int32_t place,
              std::span<const std::int32_t> keys);

 private:
  template <DType kType>
  void attend_as(std::int64_t b, std::int64_t h, std::int32_t place,
                 std::span<const std::int32_t> keys);

  const ForwardArgs& args_;
  const BlockMask* mask_ = nullptr;
  const Order* kv_order_ = nullptr;
  double scale_;
  std::vector<std::int32_t> keys_;  // rows of K and V that the query allows
  std::vector<double> query_;
  std::vector<double> weights_;
  std::vector<double> output_;
};

/// The scale that the arguments mean.
[[nodiscard]] double softmax_scale(const std::optional<float>& scale,
                                   std::int64_t head_dim) noexcept;

}  // namespace attn

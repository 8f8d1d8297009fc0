// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "attn/tensor.hpp"

namespace attn {

/// Where element (b, h, i, 0) stands, counted in elements from the tensor's data.
[[nodiscard]] inline std::int64_t row_offset(const TensorView& tensor, std::int64_t b,
                                             std::int64_t h, std::int64_t i) noexcept {
  return b * tensor.strides[0] + h * tensor.strides[1] + i * tensor.strides[2];
}

template <DType kType>
[[nodiscard]] float load_element(const TensorView& tensor, std::int64_t offset) noexcept {
  if constexpr (kType == DType::f32) {
    return static_cast<const float*>(tensor.data)[offset];
  } else {
    const std::uint16_t bits = static_cast<const std::uint16_t*>(tensor.data)[offset];
    return kType == DType::f16 ? half_to_float(bits) : bfloat16_to_float(bits);
  }
}

template <DType kType>
void store_element(const TensorView& tensor, std::int64_t offset, float value) noexcept {
  if constexpr (kType == DType::f32) {
    static_cast<float*>(tensor.data)[offset] = value;
  } else {
    static_cast<std::uint16_t*>(tensor.data)[offset] =
        kType == DType::f16 ? float_to_half(value) : float_to_bfloat16(value);
  }
}

}  // namespace attn

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

[[nodiscard]] inline float load_element(const TensorView& tensor, std::int64_t offset) noexcept {
  switch (tensor.dtype) {
    case DType::f16:
      return half_to_float(static_cast<const std::uint16_t*>(tensor.data)[offset]);
    case DType::bf16:
      return bfloat16_to_float(static_cast<const std::uint16_t*>(tensor.data)[offset]);
    case DType::f32:
      break;
  }
  return static_cast<const float*>(tensor.data)[offset];
}

inline void store_element(const TensorView& tensor, std::int64_t offset, float value) noexcept {
  switch (tensor.dtype) {
    case DType::f16:
      static_cast<std::uint16_t*>(tensor.data)[offset] = float_to_half(value);
      return;
    case DType::bf16:
      static_cast<std::uint16_t*>(tensor.data)[offset] = float_to_bfloat16(value);
      return;
    case DType::f32:
      break;
  }
  static_cast<float*>(tensor.data)[offset] = value;
}

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

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

/// Row [b, h, i, :], widened.
template <DType kType>
void load_row_as(const TensorView& tensor, std::int64_t at, std::vector<double>& row) {
  for (double& value : row) {
    value = load_element<kType>(tensor, at);
    at += tensor.strides[3];
  }
}
inline void load_row(const TensorView& tensor, std::int64_t b, std::int64_t h, std::int64_t i,
                     std::vector<double>& row) {
  row.resize(static_cast<std::size_t>(tensor.width()));
  const std::int64_t at = row_offset(tensor, b, h, i);
  switch (tensor.dtype) {
    case DType::f32:
      return load_row_as<DType::f32>(tensor, at, row);
    case DType::f16:
      return load_row_as<DType::f16>(tensor, at, row);
    case DType::bf16:
      return load_row_as<DType::bf16>(tensor, at, row);
  }
}

/// Row [b, h, i, :] becomes factor · row, rounded.
template <DType kType>
void store_row_as(const TensorView& tensor, std::int64_t at, double factor,
                  const std::vector<double>& row) noexcept {
  for (const double value : row) {
    store_element<kType>(tensor, at, static_cast<float>(factor * value));
    at += tensor.strides[3];
  }
}
inline void store_row(const TensorView& tensor, std::int64_t b, std::int64_t h, std::int64_t i,
                      double factor, const std::vector<double>& row) noexcept {
  const std::int64_t at = row_offset(tensor, b, h, i);
  switch (tensor.dtype) {
    case DType::f32:
      return store_row_as<DType::f32>(tensor, at, factor, row);
    case DType::f16:
      return store_row_as<DType::f16>(tensor, at, factor, row);
    case DType::bf16:
      return store_row_as<DType::bf16>(tensor, at, factor, row);
  }
}

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace attn {

enum class DType { f32, f16, bf16 };

[[nodiscard]] std::string_view to_string(DType dtype) noexcept;
[[nodiscard]] constexpr std::size_t size_of(DType dtype) noexcept {
  return dtype == DType::f32 ? 4 : 2;
}

/// IEEE binary16 and bfloat16 as 16-bit patterns; conversions round to nearest even, keep
/// infinities and keep NaN a NaN.
[[nodiscard]] std::uint16_t float_to_half(float value) noexcept;
[[nodiscard]] float half_to_float(std::uint16_t bits) noexcept;
[[nodiscard]] std::uint16_t float_to_bfloat16(float value) noexcept;
[[nodiscard]] constexpr float bfloat16_to_float(std::uint16_t bits) noexcept {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}

/// A borrowed 4-d tensor [batch, heads, rows, width] with any strides, counted in elements.
/// Q and O are [B, Hq, Nq, D], K and V are [B, Hkv, Nk, D], LSE is [B, Hq, Nq, 1]. The memory
/// belongs to the caller and must be reachable by the backend that is called.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  std::array<std::int64_t, 4> shape{};
  std::array<std::int64_t, 4> strides{};

  [[nodiscard]] std::int64_t batch() const noexcept { return shape[0]; }
  [[nodiscard]] std::int64_t heads() const noexcept { return shape[1]; }
  [[nodiscard]] std::int64_t rows() const noexcept { return shape[2]; }
  [[nodiscard]] std::int64_t width() const noexcept { return shape[3]; }
  [[nodiscard]] std::int64_t elements() const noexcept {
    return shape[0] * shape[1] * shape[2] * shape[3];
  }
};

/// A view of a dense row-major [b, h, n, d] array.
[[nodiscard]] constexpr TensorView contiguous(void* data, DType dtype,
                                              std::array<std::int64_t, 4> shape) noexcept {
  return {data,
          dtype,
          shape,
          {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], std::int64_t{1}}};
}

}  // namespace attn

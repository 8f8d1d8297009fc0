// SPDX-License-Identifier: Apache-2.0
#include "attn/tensor.hpp"

#include <bit>

namespace attn {

std::string_view to_string(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
  }
  return "unknown";
}

std::uint16_t float_to_half(float value) noexcept {
  constexpr std::uint32_t kInfinity = 0x7f800000;
  constexpr std::uint32_t kTwoTo16 = 0x47800000;         // first power of two beyond the range
  constexpr std::uint32_t kSmallestNormal = 0x38800000;  // 2^-14
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  std::uint32_t magnitude = bits & 0x7fffffff;

  if (magnitude > kInfinity) {  // the top payload bits stay, the quiet bit keeps it a NaN
    return static_cast<std::uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  }
  if (magnitude >= kTwoTo16) return static_cast<std::uint16_t>(sign | 0x7c00);
  if (magnitude < kSmallestNormal) {
    // Subnormal halves are multiples of 2^-24, which is the last place of floats in [0.5, 1): the
    // addition does the rounding.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    const std::uint32_t count = std::bit_cast<std::uint32_t>(shifted) - 0x3f000000;
    return static_cast<std::uint16_t>(sign | count);
  }
  magnitude += 0xfff + ((magnitude >> 13) & 1);  // half to even; a carry runs into the exponent
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000) >> 13));
}

float half_to_float(std::uint16_t bits) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1f;
  const std::uint32_t mantissa = bits & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  const std::uint32_t wide_exponent = exponent == 0x1f ? 0xff : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (wide_exponent << 23) | (mantissa << 13));
}

std::uint16_t float_to_bfloat16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace attn

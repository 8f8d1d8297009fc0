// SPDX-License-Identifier: Apache-2.0
//
// The online softmax of one group of rows. Included once for every instruction set.
#if defined(ATTN_CPU_SOFTMAX_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTN_CPU_SOFTMAX_INL_HPP
#undef ATTN_CPU_SOFTMAX_INL_HPP
#else
#define ATTN_CPU_SOFTMAX_INL_HPP
#endif

#include <cstdint>
#include <limits>

#include "cpu/matmul-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// 2^x for x ≤ 0, to 8e-8 of the value, and exactly 1 for 0: a max that stays must not shrink the
/// sums, however many tiles follow. 0 below the normal range; NaN stays NaN.
///
/// x = n + f with n whole and |f| ≤ 1/2. Adding 1.5 · 2^23 + 127 leaves n + 127 in the low bits of
/// the sum, where a shift makes it the exponent of 2^n. The polynomial is the minimax fit of 2^f.
HWY_INLINE Vector exp2(Vector x) {
  const hn::RebindToSigned<Floats> integers;
  const Vector magic = hn::Set(kFloats, 12582912.0f + 127.0f);
  const Vector shifted = hn::Add(x, magic);
  const Vector f = hn::Sub(x, hn::Sub(shifted, magic));
  Vector p = hn::Set(kFloats, 0.00015345812f);
  p = hn::MulAdd(p, f, hn::Set(kFloats, 0.0013399931f));
  p = hn::MulAdd(p, f, hn::Set(kFloats, 0.009618489f));
  p = hn::MulAdd(p, f, hn::Set(kFloats, 0.055503286f));
  p = hn::MulAdd(p, f, hn::Set(kFloats, 0.24022646f));
  p = hn::MulAdd(p, f, hn::Set(kFloats, 0.6931472f));
  p = hn::MulAdd(p, f, hn::Set(kFloats, 1.0f));
  const Vector power = hn::BitCast(kFloats, hn::ShiftLeft<23>(hn::BitCast(integers, shifted)));
  // Asked this way round, the comparison is false for NaN, which therefore passes.
  const auto underflow = hn::Lt(x, hn::Set(kFloats, -126.0f));
  return hn::IfThenZeroElse(underflow, hn::Mul(p, power));
}

/// The mask of the vector that starts `first` bits into a row of bits.
HWY_INLINE hn::Mask<Floats> lane_mask(const std::uint8_t* bits, std::size_t first) {
  if constexpr (kLanes % 8 == 0) {
    return hn::LoadMaskBits(kFloats, bits + first / 8);
  } else {
    const auto byte = static_cast<std::uint8_t>(bits[first / 8] >> (first % 8));
    return hn::LoadMaskBits(kFloats, &byte);
  }
}

/// Where the rows of a group stand in their row tile.
struct SoftmaxRows {
  float* max;  ///< [kRowGroup]
  float* sum;  ///< [kRowGroup][kLanes]
};

/// Turns a group's scores into weights exp2(score − max), in place, and brings max and sum up to
/// date. shrink[row] becomes the factor that earlier sums of this row must be multiplied with.
///
/// A masked score is replaced by −inf, never added to: it may be NaN. A NaN that is allowed need
/// not reach `max`, but it reaches `sum`, where the end of the row tile finds it.
template <std::size_t kStride>
HWY_INLINE void softmax(float* HWY_RESTRICT scores, std::size_t vectors, const std::uint8_t* bits,
                        std::size_t bits_stride, SoftmaxRows rows, float (&shrink)[kRowGroup]) {
  const Vector minus_infinity = hn::Set(kFloats, kMinusInfinity);
  HWY_ALIGN float shift[kRowGroup];
  for (std::size_t r = 0; r < kRowGroup; ++r) {
    float* const row = scores + r * kStride;
    Vector max = hn::Set(kFloats, rows.max[r]);
    if (bits == nullptr) {
      for (std::size_t v = 0; v < vectors; ++v) {
        max = hn::Max(max, hn::Load(kFloats, row + v * kLanes));
      }
    } else {
      const std::uint8_t* const row_bits = bits + r * bits_stride;
      for (std::size_t v = 0; v < vectors; ++v) {
        const auto allowed = lane_mask(row_bits, v * kLanes);
        const Vector score =
            hn::IfThenElse(allowed, hn::Load(kFloats, row + v * kLanes), minus_infinity);
        hn::Store(score, kFloats, row + v * kLanes);
        max = hn::Max(max, score);
      }
    }
    const float new_max = hn::GetLane(hn::MaxOfLanes(kFloats, max));
    // While a row has no allowed key, its max is −inf: any finite shift gives weights of 0.
    shift[r] = new_max == kMinusInfinity ? 0.0f : new_max;
    shrink[r] = rows.max[r] - shift[r];
    rows.max[r] = new_max;
  }
  HWY_ALIGN float exponents[kRowGroup < kLanes ? kLanes : kRowGroup] = {};
  for (std::size_t r = 0; r < kRowGroup; ++r) exponents[r] = shrink[r];
  for (std::size_t r = 0; r < kRowGroup; r += kLanes) {
    hn::Store(exp2(hn::Load(kFloats, exponents + r)), kFloats, exponents + r);
  }
  for (std::size_t r = 0; r < kRowGroup; ++r) shrink[r] = exponents[r];

  for (std::size_t r = 0; r < kRowGroup; ++r) {
    float* const row = scores + r * kStride;
    const Vector offset = hn::Set(kFloats, shift[r]);
    Vector sum = hn::Mul(hn::Load(kFloats, rows.sum + r * kLanes), hn::Set(kFloats, shrink[r]));
    for (std::size_t v = 0; v < vectors; ++v) {
      const Vector weight = exp2(hn::Sub(hn::Load(kFloats, row + v * kLanes), offset));
      hn::Store(weight, kFloats, row + v * kLanes);
      sum = hn::Add(sum, weight);
    }
    hn::Store(sum, kFloats, rows.sum + r * kLanes);
  }
}

}  // namespace attn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle

// SPDX-License-Identifier: Apache-2.0
//
// Register-blocked products of small packed matrices. Included once for every instruction set, so
// the guard is a toggle and not #pragma once.
#if defined(ATTN_CPU_MATMUL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTN_CPU_MATMUL_INL_HPP
#undef ATTN_CPU_MATMUL_INL_HPP
#else
#define ATTN_CPU_MATMUL_INL_HPP
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
inline constexpr Floats kFloats{};
inline constexpr std::size_t kLanes = HWY_LANES(float);

// A block of sums is kRowGroup rows by up to kMaxVectors vectors and must fit the registers beside
// one vector of the second factor each and a broadcast element of the first: 8·3 + 3 + 1 of 32
// registers, 4·3 + 3 + 1 of 16. It must also hold more sums than a multiply-add has cycles of
// latency times units.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || \
    (HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64)
inline constexpr int kRowGroup = 8;
#else
inline constexpr int kRowGroup = 4;
#endif
inline constexpr int kMaxVectors = 3;

/// The first factor: element (row, k) stands at data[row * kRowStep + k * kDepthStep].
template <std::size_t kRowStep, std::size_t kDepthStep>
struct LeftFactor {
  const float* data;

  HWY_INLINE Vector broadcast(int row, std::size_t k) const {
    return hn::Set(kFloats, data[static_cast<std::size_t>(row) * kRowStep + k * kDepthStep]);
  }
};

/// sums[row][v] += Σ_k left(row, k) · right[v][k], where right[v][k] is the vector at
/// right + v * right_stride + k * kLanes.
template <int kVectors, class Left>
HWY_INLINE void multiply_add(const Left left, const float* HWY_RESTRICT right,
                             std::size_t right_stride, std::size_t depth,
                             Vector (&sums)[kRowGroup][kVectors]) {
  for (std::size_t k = 0; k < depth; ++k, right += kLanes) {
    Vector columns[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = hn::Load(kFloats, right + static_cast<std::size_t>(v) * right_stride);
    }
#pragma GCC unroll 8
    for (int row = 0; row < kRowGroup; ++row) {
      const Vector element = left.broadcast(row, k);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sums[row][v] = hn::MulAdd(element, columns[v], sums[row][v]);
      }
    }
  }
}

/// Calls work.run<width>(first) for groups of kMaxVectors vectors, then for what remains.
template <int kVectors = kMaxVectors, class Work>
HWY_INLINE void in_groups(std::size_t vectors, const Work& work, std::size_t first = 0) {
  for (; first + kVectors <= vectors; first += kVectors) work.template run<kVectors>(first);
  if constexpr (kVectors > 1) {
    if (first < vectors) in_groups<kVectors - 1>(vectors, work, first);
  }
}

}  // namespace attn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle

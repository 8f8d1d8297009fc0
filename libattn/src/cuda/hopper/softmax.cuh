// SPDX-License-Identifier: Apache-2.0
//
// Online softmax over the accumulators of one warpgroup. Each thread holds two rows (index r); the
// four threads of a quad share them.
#pragma once

#include <cuda_runtime.h>

#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

/// The running softmax of a thread's two rows: weights are exp2(scale_log2 * score - base).
struct RowState {
  float base[2];       ///< the same in a quad
  float sum[2];        ///< this thread's part only
  std::uint32_t seen;  ///< OR of the mask words: has a row any allowed key?
};

__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFU, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFU, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(0xFFFFFFFFU, x, 1);
  return x + __shfl_xor_sync(0xFFFFFFFFU, x, 2);
}
__device__ __forceinline__ std::uint32_t quad_or(std::uint32_t x) {
  x |= __shfl_xor_sync(0xFFFFFFFFU, x, 1);
  return x | __shfl_xor_sync(0xFFFFFFFFU, x, 2);
}

/// The output is rescaled only when the reference of a row has grown by 2^kSlack: until then the
/// weights are at most 2^kSlack, exact enough in any 16-bit format, and the final division by the
/// sum takes the difference out again.
inline constexpr float kSlack = 8.0F;

/// See softmax_step.
inline constexpr float kModerate = 32.0F;
inline constexpr float kLargeSum = 1073741824.0F;  // 2^30

template <bool kWideRange, int kUsed, int kCount>
__device__ __forceinline__ bool softmax_step(float (&s)[kCount], RowState& row, bool& steady,
                                             float scale_log2, bool first, float (&alpha)[2]) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    row.base[r] = first ? -INFINITY : row.base[r];
    row.sum[r] = first ? 0.0F : row.sum[r];
  }
  steady = steady && !first;
  // What may outgrow the limit of a row: its scores until it is steady, its sum from then on.
  float grown[2] = {row.sum[0], row.sum[1]};
  float limit[2] = {kLargeSum, kLargeSum};
  if (!steady) {
    float upper = s[0], lower = s[2];
#pragma unroll
    for (int i = 0; i < kUsed; i += 4) {
      upper = fmaxf(upper, fmaxf(s[i], s[i + 1]));
      lower = fmaxf(lower, fmaxf(s[i + 2], s[i + 3]));
    }
    grown[0] = upper * scale_log2;
    grown[1] = lower * scale_log2;
    limit[0] = row.base[0] + kSlack;
    limit[1] = row.base[1] + kSlack;
  }
  const bool rescale = __any_sync(0xFFFFFFFFU, grown[0] > limit[0] || grown[1] > limit[1]);
  if (rescale) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float most = quad_max(grown[r]);
      const float base = steady ? row.base[r] + (most > kLargeSum ? __log2f(most) : 0.0F)
                                : fmaxf(row.base[r], most);
      alpha[r] = base == row.base[r] ? 1.0F : ptx::exp2_approx(row.base[r] - base);
      row.base[r] = base;
      row.sum[r] *= alpha[r];
    }
    steady = kWideRange && __all_sync(0xFFFFFFFFU, fabsf(row.base[0]) < kModerate &&
                                                       fabsf(row.base[1]) < kModerate);
  }
  float base[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) base[r] = row.base[r] == -INFINITY ? 0.0F : row.base[r];
  float sum[4] = {0, 0, 0, 0};
#pragma unroll
  for (int i = 0; i < kUsed; i += 4) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      s[i + c] = ptx::exp2_approx(fmaf(s[i + c], scale_log2, -base[c / 2]));
      sum[c] += s[i + c];
    }
  }
  row.sum[0] += sum[0] + sum[1];
  row.sum[1] += sum[2] + sum[3];
  return rescale && !first;
}

}  // namespace attn::hopper

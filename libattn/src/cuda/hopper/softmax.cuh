// SPDX-License-Identifier: Apache-2.0
//
// Online softmax over the accumulators of one warpgroup. Each thread holds two rows (index r); the
// four threads of a quad share them.
#pragma once

#include <cuda_runtime.h>

#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

/// The running softmax of a thread's two rows. `max` is of the raw scores and the same in a quad;
/// `sum` is this thread's part only.
struct RowState {
  float max[2];
  float sum[2];
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

/// Turns the first kUsed raw scores into weights exp2(scale_log2 * (score − reference)) and updates
/// the rows. Returns whether the output so far must be multiplied by `alpha` (the same answer
/// in all lanes of a warp). `first`: there is no output yet.
template <int kUsed, int kCount>
__device__ __forceinline__ bool softmax_step(float (&s)[kCount], RowState& row, float scale_log2,
                                             bool first, float (&alpha)[2]) {
  // Two chains a row, for their latency.
  float part[4] = {s[0], s[4], s[2], s[6]};
#pragma unroll
  for (int i = 0; i < kUsed; i += 4) {
    float& upper = part[i / 4 % 2];
    float& lower = part[2 + i / 4 % 2];
    upper = fmaxf(upper, fmaxf(s[i], s[i + 1]));
    lower = fmaxf(lower, fmaxf(s[i + 2], s[i + 3]));
  }
  const float max[2] = {quad_max(fmaxf(part[0], part[1])), quad_max(fmaxf(part[2], part[3]))};

  // By selects, not by a branch: with a branch ptxas finds too few registers to keep the wgmmas of
  // some kernels asynchronous (warning C7511).
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    row.max[r] = first ? -INFINITY : row.max[r];
    row.sum[r] = first ? 0.0F : row.sum[r];
  }
  // From −inf every finite maximum is growth; −inf against −inf compares false.
  const bool grown =
      (max[0] - row.max[0]) * scale_log2 > kSlack || (max[1] - row.max[1]) * scale_log2 > kSlack;
  const bool rescale = __any_sync(0xFFFFFFFFU, grown);
  if (rescale) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float grown_max = fmaxf(row.max[r], max[r]);
      alpha[r] =
          grown_max == row.max[r] ? 1.0F : ptx::exp2_approx((row.max[r] - grown_max) * scale_log2);
      row.max[r] = grown_max;
      row.sum[r] *= alpha[r];
    }
  }

  float base[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    base[r] = row.max[r] == -INFINITY ? 0.0F : row.max[r] * scale_log2;
  }
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

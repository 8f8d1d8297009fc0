// SPDX-License-Identifier: Apache-2.0
//
// What both passes need of each query, in the mask's order: LSE in powers of two, and the sum of
// dO * O. Queries without keys, and those that fill up the last tile, get LSE = +inf, so that every
// weight of theirs is exp2(-inf) = 0. Also clears the state that the kernels behind it share.
#pragma once

#include "cuda/hopper/backward_params.hpp"
#include "cuda/hopper/finish.cuh"
#include "cuda/hopper/launch_behind.cuh"

namespace attn::hopper {

inline constexpr int kPrepareThreads = 256;

template <class T>
__device__ __forceinline__ float dot8(const uint4& a, const uint4& b) {
  const std::uint32_t left[4] = {a.x, a.y, a.z, a.w};
  const std::uint32_t right[4] = {b.x, b.y, b.z, b.w};
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int shift = 0; shift < 32; shift += 16) {
      sum = fmaf(to_float<T>(static_cast<std::uint16_t>(left[i] >> shift)),
                 to_float<T>(static_cast<std::uint16_t>(right[i] >> shift)), sum);
    }
  }
  return sum;
}

template <class T, int kDim>
__global__ void __launch_bounds__(kPrepareThreads)
    prepare_backward_kernel(const __grid_constant__ BackwardParams p) {
  constexpr int kLanes = kDim / 8;  // of 16 bytes, for one row
  constexpr int kRows = kPrepareThreads / kLanes;
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *p.state = BackwardState{};
  let_next_begin();
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  for (std::int32_t pair = static_cast<std::int32_t>(blockIdx.y); pair < p.batch * p.heads;
       pair += static_cast<std::int32_t>(gridDim.y)) {
    const std::int32_t batch = pair / p.heads;
    const std::int32_t head = pair % p.heads;
    const auto* const o = static_cast<const std::uint16_t*>(p.o) + batch * p.o_strides.batch +
                          head * p.o_strides.head + lane * 8;
    const auto* const d_o = static_cast<const std::uint16_t*>(p.d_o) + batch * p.d_o_strides.batch +
                            head * p.d_o_strides.head + lane * 8;
    const float* const lse = p.lse + batch * p.lse_strides.batch + head * p.lse_strides.head;
    // All lanes of a warp run equally often: padded_q is a multiple of the rows of a block.
    for (std::int32_t i = static_cast<std::int32_t>(blockIdx.x) * kRows +
                          static_cast<std::int32_t>(threadIdx.x) / kLanes;
         i < p.padded_q; i += static_cast<std::int32_t>(gridDim.x) * kRows) {
      float sum = 0;
      float log = INFINITY;
      if (i < p.n_q) {
        const std::int64_t row = p.mask.q_order == nullptr ? i : __ldg(p.mask.q_order + i);
        sum = dot8<T>(__ldg(reinterpret_cast<const uint4*>(o + row * p.o_strides.row)),
                      __ldg(reinterpret_cast<const uint4*>(d_o + row * p.d_o_strides.row)));
        if (lane == 0) {
          log = __ldg(lse + row * p.lse_strides.row);
          log = log == -INFINITY ? INFINITY : log * 1.44269504F;
        }
      }
#pragma unroll
      for (int m = kLanes / 2; m > 0; m /= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, m);
      if (p.dq_sums.sums != nullptr && i % kQuadrant == 0 && i < p.n_q && lane == 0) {
        p.dq_sums.turns[std::int64_t{pair} * p.dq_sums.row_blocks + i / kQuadrant] = 0;
      }
      if (lane == 0) {
        p.lse_log2[std::int64_t{pair} * p.padded_q + i] = log;
        p.delta[std::int64_t{pair} * p.padded_q + i] = sum;
      }
    }
  }
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// The products of a step of 64 x 64 scores, by one warpgroup.
#pragma once

#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

/// A tile of 64 x (16 kSteps) as left factors.
template <int kSteps, int kCount>
__device__ __forceinline__ void load_left(std::uint32_t (&a)[kCount], const std::uint16_t* tile,
                                          int thread) {
  const int lane = thread % 32;
  const int in_matrix = lane % 8;
  const int row = thread / 32 * 16 + in_matrix + lane / 8 % 2 * 8;
  const std::uint32_t base = shared_address(tile) + static_cast<std::uint32_t>(row * 128);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int chunk = (2 * step + lane / 16) % 8;
    ptx::load_matrix_x4(base + step / 4 * kQuadrant * 128 + ((chunk ^ in_matrix) << 4),
                        reinterpret_cast<std::uint32_t(&)[4]>(a[4 * step]));
  }
}

/// s = a tile times another, transposed, as one group; both 64 x (16 kSteps). The first one is in
/// registers as load_left leaves it, or at `a_tile`.
template <class T, int kSteps, bool kInRegisters, int kCount>
__device__ __forceinline__ void multiply_scores(float (&s)[32], std::uint32_t (&a)[kCount],
                                                const std::uint16_t* a_tile,
                                                const std::uint16_t* b_tile) {
  const std::uint64_t right = ptx::matrix_descriptor(shared_address(b_tile), 16);
  std::uint64_t left = 0;
  if constexpr (!kInRegisters) {
    left = ptx::matrix_descriptor(shared_address(a_tile), 16);
  }
  ptx::pin(s);
  ptx::wgmma_fence();
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    // 16 columns are 32 bytes inside a panel; four of them fill it.
    const int offset = (step / 4 * kQuadrant * 128 + step % 4 * 32) >> 4;
    if constexpr (kInRegisters) {
      ptx::wgmma_rs_rows<T>(s, a[4 * step], a[4 * step + 1], a[4 * step + 2], a[4 * step + 3],
                            right + offset, step != 0);
    } else {
      ptx::wgmma_ss<T>(s, left + offset, right + offset, step != 0);
    }
  }
  ptx::wgmma_commit();
}

/// sum += 64 x 64 left factors times a tile of 64 rows, as one group.
template <class T, int kColumns>
__device__ __forceinline__ void multiply_sum(float (&sum)[kColumns], std::uint32_t (&left)[16],
                                             const std::uint16_t* tile) {
  const std::uint64_t right = ptx::matrix_descriptor(shared_address(tile), kQuadrant * 128);
  ptx::pin(sum);
  ptx::pin(left);
  ptx::wgmma_fence();
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    // 16 rows are two atoms of 8 rows x 128 bytes.
    ptx::wgmma_rs<T>(sum, left[4 * step], left[4 * step + 1], left[4 * step + 2],
                     left[4 * step + 3], right + ((step * 2048) >> 4), 1);
  }
  ptx::wgmma_commit();
}

/// Accumulators, rounded, are left factors.
template <class T>
__device__ __forceinline__ void pack_left(std::uint32_t (&left)[16], const float (&values)[32]) {
#pragma unroll
  for (int i = 0; i < 16; ++i) left[i] = ptx::pack<T>(values[2 * i], values[2 * i + 1]);
}

/// Of 64 numbers, one a column of scores, those of a thread's columns 8 j + 2 * (lane % 4) and the
/// next.
__device__ __forceinline__ float2 column_pair(const float* values, int j, int thread) {
  return *reinterpret_cast<const float2*>(values + 8 * j + 2 * (thread % 4));
}

}  // namespace attn::hopper

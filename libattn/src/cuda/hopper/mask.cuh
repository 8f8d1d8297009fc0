// SPDX-License-Identifier: Apache-2.0
//
// Mask bits in the order of the accumulators. A thread of a warpgroup holds, of 64 x 64 scores, 32
// values d[0..31] of two rows:
//
//     d[4 j + 2 r + c] = score of row 16 * warp + lane / 4 + 8 r, column 8 j + 2 * (lane % 4) + c
//
// so bit 4 j + 2 r + c of its word answers for it. Words of a strip lie as [thread][key block of
// 64]: a thread reads its two in one load, and a warp reads 256 bytes in a row.
#pragma once

#include <cuda_runtime.h>

#include "cuda/hopper/params.hpp"

namespace attn::hopper {

/// Index of the first word of a thread for one strip.
__device__ __forceinline__ std::int64_t word_index(std::uint32_t strip, int thread) {
  return std::int64_t{strip} * kStripWords + thread * 2;
}

/// Bits of the even (odd) eight rows in a word.
inline constexpr std::uint32_t kUpperRow = 0x33333333U;
inline constexpr std::uint32_t kLowerRow = 0xCCCCCCCCU;

/// Scores whose bit is 0 become −inf, whatever they were: also NaN.
template <int kFirst, int kCount>
__device__ __forceinline__ void apply_word(float (&scores)[kCount], std::uint32_t word) {
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    if ((word & (1U << i)) == 0) scores[kFirst + i] = -INFINITY;
  }
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// Mask bits in the order of the accumulators. A thread of a warpgroup holds, of 64 x 64 scores, 32
// values d[0..31] of two rows:
//
//     d[4 j + 2 r + c] = score of row 16 * warp + lane / 4 + 8 r, column 8 j + 2 * (lane % 4) + c
//
// so bit 4 j + 2 r + c of its word answers for it. Words lie as
// [tile][query block of 64][thread][key block of 64]: a warp reads consecutive words.
#pragma once

#include <cuda_runtime.h>

#include "cuda/hopper/params.hpp"

namespace attn::hopper {

/// Index of the first word of a thread for one tile.
template <int kBlockN>
__device__ __forceinline__ std::int64_t word_index(std::uint32_t tile, int groups, int group,
                                                   int thread) {
  return ((std::int64_t{tile} * groups + group) * 128 + thread) * (kBlockN / kQuadrant);
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

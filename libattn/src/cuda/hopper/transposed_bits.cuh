// SPDX-License-Identifier: Apache-2.0
//
// The bits of a strip for the thread that holds its scores transposed: keys as rows, queries as
// columns. The strip is stored once, for threads that hold queries as rows (mask.cuh). There the
// bit of query q and key k of a 64 x 64 quadrant is
//
//     thread q / 16 * 32 + q % 8 * 4 + k % 8 / 2,   bit 4 * (k / 8) + 2 * (q / 8 % 2) + k % 2
//
// Here a thread holds keys 16 * warp + lane / 4 + 8 r and queries 8 j + 2 * (lane % 4) + c, as
// d[4 j + 2 r + c]. So its 32 bits stand in 8 words, one for each (j / 2, c), four in a word: at
// 8 * warp + lane / 4 % 2, and from there at 4 r + 2 (j % 2).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace attn::hopper {

/// Gathers the bits that thread `thread` of the warpgroup on key block `key_block` needs from a
/// strip, wherever it lies. Bit transposed_bit(i) of the result is for d[i].
__device__ __forceinline__ std::uint32_t transposed_word(const std::uint32_t* strip, int key_block,
                                                         int thread) {
  const int lane = thread % 32;
  const std::uint32_t* const words = strip + (lane % 4 * 8 + lane / 8) * 2 + key_block;
  const int shift = thread / 32 * 8 + lane / 4 % 2;
  std::uint32_t result = 0;
#pragma unroll
  for (int pair = 0; pair < 4; ++pair) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const std::uint32_t found = words[pair * 64 + c * 8] >> shift & 0x55U;
      result |= found << (8 * pair + c);
    }
  }
  return result;
}

/// Bit of d[8 pair + 4 (j % 2) + 2 r + c]: r and j % 2 have changed places.
__host__ __device__ constexpr int transposed_bit(int i) {
  return (i & ~6) | (i & 2) << 1 | (i & 4) >> 1;
}

}  // namespace attn::hopper

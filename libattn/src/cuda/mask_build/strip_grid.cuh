// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/mask_build/strip_grid.hpp"

namespace attn::mask_build {

using hopper::kEmpty;
using hopper::kFull;
using hopper::kKeyTileBits;
using hopper::kNoBits;
using hopper::kPartial;
using hopper::kQuadrant;
using hopper::kStripKeys;
using hopper::kStripWords;

inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;

/// Whether a strip, or a whole tile, of these states has a partial quadrant.
__device__ __forceinline__ bool has_bits(std::uint32_t states) {
  return (states & 0xAAAAAAAAU) != 0;
}

/// State of a quadrant with `count` elements, of `height` rows and `width` keys inside the mask.
/// A quadrant over the last key is never full: the kernels have no other check of it than bits.
__device__ __forceinline__ std::uint32_t state_of(std::int32_t count, std::int32_t height,
                                                  std::int32_t width) {
  if (count == 0) return kEmpty;
  return width == kQuadrant && count == height * kQuadrant ? kFull : kPartial;
}

__device__ __forceinline__ std::int32_t quadrant_height(const StripGrid& grid, std::int32_t r) {
  return min(kQuadrant, grid.n_q - r * kQuadrant);
}
__device__ __forceinline__ std::int32_t quadrant_width(const StripGrid& grid, std::int32_t block) {
  return min(kQuadrant, max(grid.n_k - block * kQuadrant, 0));
}

/// One thread a strip: writes its states and counts it in its column.
__device__ __forceinline__ void note_strip(const StripGrid& grid, std::int64_t column,
                                           std::int32_t r, std::uint32_t states) {
  if (states == 0) return;
  grid.states[column * grid.row_stride + r] = static_cast<std::uint8_t>(states);
  atomicAdd(grid.visited + column, 1);
  if (has_bits(states)) atomicAdd(grid.stored + column, 1);
}

/// States of a tile: 4 bits for each of its query blocks.
__device__ __forceinline__ std::uint32_t tile_states(const StripGrid& grid, std::int64_t column,
                                                     std::int32_t first_block, int groups) {
  const std::uint8_t* const states = grid.states + column * grid.row_stride + first_block;
  std::uint32_t all = 0;
  for (int g = 0; g < groups && first_block + g < grid.row_blocks; ++g) {
    all |= std::uint32_t{states[g]} << (4 * g);
  }
  return all;
}

/// Stored strips before strip (column, r).
__device__ __forceinline__ std::uint32_t rank_of(const StripGrid& grid, const std::uint32_t* ranks,
                                                 std::int64_t column, std::int32_t r) {
  std::uint32_t rank = ranks[column * (grid.row_stride / kRankStep) + r / kRankStep];
  const auto* const words = reinterpret_cast<const std::uint32_t*>(
      grid.states + column * grid.row_stride + r / kRankStep * kRankStep);
  const int before = r % kRankStep;
  for (int w = 0; w * 4 < before; ++w) {
    std::uint32_t stored = (words[w] >> 1 | words[w] >> 3) & 0x01010101U;
    if (before - w * 4 < 4) stored &= (1U << (8 * (before - w * 4))) - 1;
    rank += static_cast<std::uint32_t>(__popc(stored));
  }
  return rank;
}

/// Bits 2 q, 2 q + 1 of each byte of a row, side by side: what one lane of a quad holds.
__device__ __forceinline__ std::uint32_t lane_bits(std::uint64_t row, int q) {
  const auto half = [q](std::uint32_t x) {
    x = (x >> (2 * q)) & 0x03030303U;
    x = (x | x >> 4) & 0x00330033U;
    return (x | x >> 8) & 0x00003333U;
  };
  return half(static_cast<std::uint32_t>(row)) | half(static_cast<std::uint32_t>(row >> 32)) << 16;
}

}  // namespace attn::mask_build

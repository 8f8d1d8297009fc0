// SPDX-License-Identifier: Apache-2.0
//
// A BlockMask in the kernel's terms, still on the host.
#pragma once

#include <cstdint>
#include <vector>

#include "attn/block_mask.hpp"
#include "cuda/hopper/params.hpp"

namespace attn::hopper {

struct Layout {
  std::vector<WorkItem> items;  ///< rows of tiles that visit any, longest first
  std::vector<WorkItem> rows;   ///< every (mask, row tile)
  std::vector<TileEntry> tiles;
  std::vector<std::uint32_t> bits;  ///< in the order of mask.cuh
  std::vector<EmptyBlock> empty_blocks;
  std::int32_t row_tiles = 0;
};

/// Whether a mask of this tile shape can be laid out, or a sentence why not.
[[nodiscard]] bool can_lay_out(TileShape tile) noexcept;

/// Lays the mask out in tiles of 64 * groups queries by block_n keys, whatever its own tiles are
/// (multiples of 64): a kernel skips empty 64 x 64 quadrants, so nothing is lost by joining.
/// O(tiles + bits of partial tiles) on `threads` threads.
[[nodiscard]] Layout lay_out(const BlockMask& mask, int groups, int block_n, int threads);

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// A BlockMask in the kernels' terms, still on the host: first its strips, which every tile shape
// and both passes share, then the lists of one tile height.
#pragma once

#include <cstdint>
#include <vector>

#include "attn/block_mask.hpp"
#include "cuda/hopper/params.hpp"

namespace attn::hopper {

/// The strips of a mask that hold anything, by rows and by columns, and the bits of those stored.
/// With per-batch / per-head masks "row" and "column" count on from mask to mask.
struct Strips {
  std::int32_t n_q = 0;
  std::int32_t n_k = 0;
  std::int32_t masks = 1;
  std::int32_t row_blocks = 0;  ///< of 64 queries, in one mask
  std::int32_t key_tiles = 0;   ///< of 128 keys, in one mask

  /// Strips of row block m * row_blocks + r, key tiles ascending. In `by_row` the field `block`
  /// holds the key tile in place of the query block.
  std::vector<std::int64_t> row_offsets;
  std::vector<StripEntry> by_row;

  std::vector<std::int32_t> column_offsets;  ///< as in DeviceColumns
  std::vector<StripEntry> by_column;

  std::vector<std::uint32_t> bits;  ///< kStripWords a stored strip, in the order of mask.cuh

  [[nodiscard]] std::int64_t stored() const noexcept {
    return static_cast<std::int64_t>(bits.size()) / kStripWords;
  }
};

/// What the forward pass walks, in tiles of 64 * groups queries by 128 keys.
struct Layout {
  std::vector<WorkItem> items;  ///< rows of tiles that visit any, longest first
  std::vector<WorkItem> rows;   ///< every (mask, row tile)
  std::vector<TileEntry> tiles;
  std::vector<EmptyBlock> empty_blocks;
  std::int32_t row_tiles = 0;
};

/// Whether a mask of this tile shape can be cut into strips: both edges are multiples of 64.
[[nodiscard]] bool can_lay_out(TileShape tile) noexcept;

/// O(tiles + bits of partial tiles) on `threads` threads. Throws Error{unsupported} for a mask that
/// visits more than 2^31 strips.
[[nodiscard]] Strips cut_strips(const BlockMask& mask, int threads);

/// Whatever the mask's own tiles are: a kernel skips empty quadrants, so that nothing is lost by
/// joining strips into tiles.
[[nodiscard]] Layout lay_out(const Strips& strips, int groups);

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// The steps in which a mask in device memory becomes a PreparedMask:
//
//     pattern  ->  grid of strip states, counts a column     fill_dense | fill_csr
//     grid     ->  lists by column, tiles a row of tiles      index_columns
//     counts   ->  lists by row, items by length              write_rows
//     pattern  ->  bits of the strips that are stored         pack_dense | pack_csr
//
// The grid takes one byte for each 64 x 128 elements, a column (key tile of 128) after the other.
// All numbers are counted with integers and every list is written at a place that was counted, so
// that the same mask gives the same bytes. What does not fit a list's capacity is not written:
// the totals say so, and the caller makes room and starts again.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/hopper/params.hpp"

namespace attn::mask_build {

using hopper::EmptyBlock;
using hopper::StripEntry;
using hopper::TileEntry;
using hopper::WorkItem;

/// Query blocks between two ranks of a column.
inline constexpr int kRankStep = 64;

/// Heights of tiles, in query blocks, that lists are written for in one go.
inline constexpr int kMaxHeights = 4;

/// States of the strips of some masks of one shape: the low 2 bits of a byte are the state of the
/// strip's first key block, the next 2 that of the second. All zero before it is filled.
struct StripGrid {
  std::uint8_t* states;    ///< [mask][column][row_stride], 0 beyond row_blocks
  std::int32_t* visited;   ///< [mask][column]: strips that hold anything
  std::int32_t* stored;    ///< [mask][column]: strips with a partial quadrant
  std::int32_t* bad_rows;  ///< kNoBadRow − the first row of a malformed pattern; 0 if all are good
  std::int32_t n_q, n_k, masks;
  std::int32_t row_blocks, key_tiles;
  std::int32_t row_stride;  ///< row_blocks, rounded up to kRankStep

  [[nodiscard]] __host__ __device__ std::int64_t column(std::int32_t mask, std::int32_t c) const {
    return std::int64_t{mask} * key_tiles + c;
  }
};
inline constexpr std::int32_t kNoBadRow = 0x7FFFFFFF;

/// A dense matrix of bytes, or of bits (bit j % 8 of byte j / 8).
struct DenseSource {
  const std::uint8_t* data;
  std::int64_t row_stride;  ///< bytes
  bool bits;
};

struct CsrSource {
  const std::int64_t* offsets;
  const std::int32_t* cols;
  std::int64_t nnz;
};

/// Lists by column, as in hopper::DeviceColumns.
struct ColumnLists {
  StripEntry* strips;
  std::int32_t* offsets;
  std::uint32_t* ranks;  ///< [mask][column][row_stride / kRankStep]: stored strips before
  std::int64_t capacity;
  std::int32_t* totals;  ///< the grid's bad row; strips visited and stored, by all masks
};

/// Lists by row of tiles, as in hopper::DeviceMask, and what is counted for them.
struct RowLists {
  int groups;
  std::int32_t row_tiles;
  std::int32_t *counts, *masked, *full, *empty;  ///< [mask][row tile]
  WorkItem *items, *rows;
  TileEntry* tiles;
  EmptyBlock* empty_blocks;
  std::int32_t* lengths;  ///< tiles of each item
  std::int64_t capacity;  ///< of `tiles`
  std::int32_t* totals;   ///< tiles, full tiles, items, empty blocks
};

struct Lists {
  ColumnLists columns;
  RowLists rows[kMaxHeights];
  int heights;
};

/// The bits of stored strips, in the order of mask.cuh.
struct StoredBits {
  std::uint32_t* words;
  std::int64_t capacity;  ///< strips
};

/// Reads the whole matrix once. `unpacked` has room for all strips of one mask and gets the words
/// of those that are to be stored, strip (c, r) at c * row_blocks + r.
cudaError_t fill_dense(const StripGrid& grid, std::int32_t mask, const DenseSource& source,
                       std::uint32_t* unpacked, cudaStream_t stream);
cudaError_t fill_csr(const StripGrid& grid, std::int32_t mask, const CsrSource& source,
                     cudaStream_t stream);

cudaError_t index_columns(const StripGrid& grid, const Lists& lists, cudaStream_t stream);

/// With `unpacked` (of all masks) the bits are packed by the same launch.
cudaError_t write_rows(const StripGrid& grid, const Lists& lists, const std::uint32_t* unpacked,
                       const StoredBits& bits, cudaStream_t stream);

/// Sets bits in words that are all zero.
cudaError_t pack_csr(const StripGrid& grid, std::int32_t mask, const CsrSource& source,
                     const std::uint32_t* ranks, const StoredBits& bits, cudaStream_t stream);

}  // namespace attn::mask_build

// SPDX-License-Identifier: Apache-2.0
//
// What host and device agree on: the prepared mask and the arguments of one launch.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "cuda/hopper/cuts.hpp"

namespace attn::hopper {

/// What a 64 x 64 quadrant (64 queries x 64 keys) of a visited tile holds.
enum QuadrantState : std::uint32_t { kEmpty = 0, kFull = 1, kPartial = 2 };

inline constexpr std::uint32_t kKeyTileBits = 20;
inline constexpr std::uint32_t kNoBits = 0xFFFFFFFFU;
inline constexpr int kQuadrant = 64;

/// Bits are stored by strips of 64 queries x 128 keys, one strip once for every use: the forward
/// pass at any tile height, and the backward pass. A strip is stored when one of its quadrants is
/// partial. Stored strips lie by mask, then by key tile, then by query block, so that those of one
/// tile follow each other and those of one key tile too. Words in a strip: mask.cuh.
inline constexpr int kStripKeys = 128;
inline constexpr int kStripWords = kQuadrant * kStripKeys / 32;

/// One visited strip in the list of its key tile. `block` is the block of 64 queries in its low 20
/// bits; above them 2 bits a quadrant, that of key block c at 20 + 2 c. `bits` is the place of the
/// strip among those stored, or kNoBits when its quadrants are empty or full.
struct StripEntry {
  std::uint32_t block;
  std::uint32_t bits;
};

/// One visited tile of a row of tiles. `key` is the key tile in its low 20 bits; above them 2 bits
/// a quadrant, those of query block g and key block c at 20 + 2 * (2 * g + c). `bits` is the place
/// of the first of its strips that are stored, or kNoBits when every quadrant is empty or full.
struct TileEntry {
  std::uint32_t key;
  std::uint32_t bits;
};

/// The unit of scheduling: one row of tiles and the tiles it visits.
struct alignas(16) WorkItem {
  std::int32_t row_tile;
  std::int32_t first_tile;
  std::int32_t n_tiles;
  std::int32_t mask;  ///< batch * mask heads + head of a per-batch / per-head mask
};

/// 64 queries that visit no tile.
struct EmptyBlock {
  std::int32_t mask;
  std::int32_t block;
};

/// State that one launch leaves for the kernel behind it. All zero between calls.
struct alignas(16) Counters {
  std::uint32_t next_item;
  std::uint32_t redo;        ///< some row needs the safe path
  std::uint32_t finished;    ///< CTAs of the second kernel that have read `redo`
  std::uint32_t began;       ///< CTAs, of those that gather
  std::uint32_t next_chunk;  ///< of rows to gather
};

/// A mask on the device, for tiles of one shape. Items come longest first; the first `heavy_items`
/// of them run before all others, the rest head group by head group so that K and V of a group
/// stay in L2. Both counts take each part of a cut item for one (cuts.hpp).
struct DeviceMask {
  const WorkItem* items;
  const WorkItem* rows;  ///< the item of each (mask, row tile), also of those without tiles
  const TileEntry* tiles;
  const std::uint32_t* bits;
  const EmptyBlock* empty_blocks;
  std::int32_t n_items;
  std::int32_t heavy_items;
  std::int32_t n_empty_blocks;
  std::int32_t row_tiles;
  std::int32_t batch;  ///< 1, or one mask a batch
  std::int32_t heads;  ///< 1, or one mask a head
  const std::int32_t* q_order;
  const std::int32_t* kv_order;
};

/// The same mask by columns: for each key tile of 128 the strips that visit it, their query blocks
/// ascending. What the backward pass sums dK and dV over.
struct DeviceColumns {
  const StripEntry* strips;
  const std::int32_t* offsets;  ///< [mask * key_tiles + key tile], and one more at the end
  const std::uint32_t* bits;
  std::int32_t key_tiles;  ///< of 128 keys
  std::int32_t batch;      ///< 1, or one mask a batch
  std::int32_t heads;      ///< 1, or one mask a head
};

struct Strides {
  std::int64_t batch, head, row;  ///< in elements
};

/// In a list of rows that are copied: zeros.
inline constexpr std::int32_t kNoRow = -1;

/// How rows come into the mask's order. Each is a kernel of its own, because what one takes costs
/// the products of another 4 to 8 % at head_dim 64, used or not.
enum class Rows {
  stand,     ///< there already, or in boxes of one row
  in_boxes,  ///< by boxes of the caller's tensors (row_boxes.hpp)
  gathered   ///< by copies that the kernel itself makes (gather_ahead.cuh)
};

/// Which map of an OrderedTensor a box is of.
enum RowSource : std::uint32_t {
  kStrided = 0,  ///< the tensor, its rows dealt out to as many parts as the order's stride
  kNatural = 1,  ///< the tensor
  kCopied = 2,   ///< rows that were copied in front of the kernel
  // All 64 rows of a block at once:
  kWhole = 3,       ///< as kStrided
  kWholeCopied = 4  ///< as kCopied
};
inline constexpr std::uint32_t kSourceShift = 29;
/// Rows of the smallest box: below 8, swizzled rows of 128 bytes have no atom.
inline constexpr int kBoxRows = 8;
inline constexpr int kBoxesOfBlock = kQuadrant / kBoxRows;

/// Rows that follow each other in the mask's order, by their coordinates in a map.
struct alignas(8) RowBox {
  std::int32_t row;
  std::uint32_t part;  ///< below the RowSource
};

/// An order that is loaded in place (row_boxes.hpp).
struct OrderedRows {
  const RowBox* boxes;  ///< eight for each 64 rows; null: rows stand as the mask has them
  std::int32_t stride;
};

/// The maps that its boxes are of, by RowSource: coordinates are column, row, part, head, batch.
struct OrderedTensor {
  CUtensorMap maps[5];
};

/// What the forward kernel brings into the mask's order itself (gather_ahead.cuh).
struct GatherPlan {
  void *q, *k, *v;            ///< rows in order, densely; null where there is no order
  std::uint32_t* q_done;      ///< chunks gathered of each (batch, head); zero before the launch
  std::uint32_t* kv_done;     ///< of each (batch, key head), K and V together
  std::uint32_t first_units;  ///< key heads that all CTAs gather before they compute
  std::int32_t ctas;          ///< those that gather to the end; 0: there is no order
};

/// What the parts of cut rows leave for the kernel that joins them, [part][row of the tile]; the
/// part at place c of the list for the r-th (batch, head) pair of its mask is c * repeats + r.
struct PartialRows {
  float* o;    ///< [part][row][head_dim], divided by the part's sum
  float* lse;  ///< [part][row]
};

struct ForwardParams {
  CUtensorMap q_map, k_map, v_map;
  OrderedTensor q_boxes, k_boxes, v_boxes;  ///< where such an order is
  OrderedRows q_rows, kv_rows;
  DeviceMask mask;
  Counters* counters;
  const void *q, *k, *v;
  void* o;
  float* lse;
  Strides q_strides, k_strides, v_strides, o_strides, lse_strides;
  std::int32_t batch, heads, group, n_q, n_k;
  std::int32_t head_group;   ///< heads that run side by side
  std::int32_t last_group;   ///< at the end at least so many
  std::int32_t repeats;      ///< (batch, head) pairs that share each mask
  std::uint32_t work_count;  ///< n_items * repeats
  GatherPlan gather;
  float scale;
  float scale_log2;
  bool turns;      ///< warpgroups issue their products in turns
  bool gather_q;   ///< q_map has boxes of one row
  bool gather_kv;  ///< k_map and v_map have boxes of one row
  bool redo_all;   ///< every row takes the safe path
  Cuts cuts;
  PartialRows parts;
};

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// The arguments of the kernels of one backward pass.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "cuda/hopper/params.hpp"
#include "cuda/hopper/row_copies.hpp"

namespace attn::hopper {

/// State that the kernels of one call share, in its workspace; cleared by the first of them.
struct BackwardState {
  std::uint32_t next_item;
  std::uint32_t redo[2];    ///< some row of dQ, of dK or dV needs the safe path
  std::uint32_t copied[2];  ///< pieces of rows drawn for the next launch, by launches in turn
};

/// Rows of stationary tiles of one (batch of the) mask.
struct BackwardItem {
  std::int32_t tile;
  std::int32_t batch;  ///< of a per-batch mask, else 0
};

/// What one pass walks: items, longest first.
struct BackwardItems {
  const BackwardItem* items;
  std::int32_t n_items;
  std::int32_t heavy_items;
  std::int32_t heads;         ///< of the tensors whose gradient the pass writes
  std::int32_t first_repeat;  ///< of the (batch, head) pairs that walk each item
  std::int32_t repeats;       ///< and how many they are
};

/// Heavy items of all heads first, then the light ones by groups of heads, over rows and over keys
/// in turn.
struct BackwardSchedule {
  BackwardItems rows, keys;
  std::int32_t head_group;  ///< heads of K and V that run side by side
  std::uint32_t work_count;
  std::uint32_t drawn;  ///< what BackwardState::next_item holds before the launch
};

/// What one pass over keys adds up in fp32: the dQ of each (head of `pairs`, block of 64 queries),
/// a place, before it is scaled. A place is two halves, one of each warpgroup: columns from 0 and
/// from head_dim / 2 on, as accumulators lie, [half][head_dim / 16][128 threads] of float4.
struct DqSums {
  float* sums;           ///< null: dQ has a pass of its own
  std::uint32_t* turns;  ///< [place]: additions that are through, 0 before and behind the pass
  const std::uint32_t* ranks;  ///< of each strip by column: how many come before it in its place
  PairRange pairs;
  std::int32_t row_blocks;  ///< places of a head
  bool ordered;             ///< additions wait for their turn, and the first one stores
};

/// A matrix of rows that a pass writes: one row of the tensor for each of the mask's.
struct Written {
  void* data;
  Strides strides;
  const std::int32_t* order;  ///< new_to_old, or null
};

struct BackwardParams {
  CUtensorMap q_map, k_map, v_map, d_o_map;            ///< in the mask's order, in boxes of 64 rows
  OrderedTensor q_boxes, k_boxes, v_boxes, d_o_boxes;  ///< or in the caller's
  OrderedRows q_rows, kv_rows;
  DeviceMask mask;  ///< in tiles of kBackwardRows queries
  DeviceColumns columns;
  BackwardSchedule schedule;
  BackwardState* state;
  const void *q, *k, *v, *d_o;  ///< as the caller keeps them
  Strides q_strides, k_strides, v_strides, d_o_strides;
  float* lse_log2;  ///< [batch, heads, padded_q] in the mask's order, +inf where no key is allowed
  float* delta;     ///< likewise, sums of dO * O
  DqSums dq_sums;
  RowCopies copies;  ///< for the heads of the next launch, with Rows::gathered
  Written dq, dk, dv;
  const void* o;
  const float* lse;
  Strides o_strides, lse_strides;
  std::int32_t batch, heads, group, n_q, n_k;
  std::int32_t padded_q;  ///< n_q, up to whole tiles
  float scale;
  float scale_log2;
};

/// Rows of a stationary tile: two warpgroups of 64.
inline constexpr int kBackwardRows = 128;

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// How a warp copies rows.
#pragma once

#include "cuda/hopper/ptx.cuh"
#include "cuda/hopper/row_copies.hpp"

namespace attn::hopper {

/// Asks for a line of 128 bytes of global memory in the L2 cache.
__device__ __forceinline__ void prefetch_l2(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

/// Piece number `piece` of all tensors, false where there is none. `kDeep` loads of each lane are
/// under way at a time. With kBeside other warps compute: few registers, no RowCopy has gaps
/// (kNoRow), and the rows are asked for first, as so few loads would wait for memory too often.
template <int kHeadDim, int kDeep, bool kBeside>
__device__ __forceinline__ bool copy_piece(const RowCopies& copies, std::uint32_t piece) {
  constexpr int kLanes = kHeadDim / 8;  // that share a row
  constexpr int kRows = 32 / kLanes;    // of one load
  constexpr int kPieceRows = RowCopies::kPieceRows;
  static_assert(32 % kRows == 0 && kPieceRows == 64, "a lane knows two rows of a piece");
  const auto pieces_of_head = [](const RowCopy& copy) {
    return static_cast<std::uint32_t>((copy.n_rows + kPieceRows - 1) / kPieceRows);
  };
  int tensor = 0;
  for (;; ++tensor) {
    if (tensor == RowCopies::kMost) return false;
    const RowCopy& copy = copies.tensors[tensor];
    const std::uint32_t pieces =
        pieces_of_head(copy) * static_cast<std::uint32_t>(copy.pairs.count());
    if (piece < pieces) break;
    piece -= pieces;
  }
  const RowCopy& copy = copies.tensors[tensor];
  const auto head = static_cast<std::int32_t>(piece / pieces_of_head(copy));
  const auto first = static_cast<std::int32_t>(piece % pieces_of_head(copy)) * kPieceRows;
  const std::int32_t count = min(kPieceRows, copy.n_rows - first);
  const std::int32_t pair = copy.pairs.pair(head);
  const auto* source = static_cast<const std::uint16_t*>(copy.source) +
                       pair / copy.pairs.heads * copy.strides.batch +
                       pair % copy.pairs.heads * copy.strides.head;
  const auto lane = static_cast<std::int32_t>(threadIdx.x % 32);
  std::int32_t rows[2];  // those of places lane and lane + 32
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    rows[half] = __ldg(copy.rows + first + min(half * 32 + lane, count - 1));
    if constexpr (kBeside) {
      for (int d = 0; d < kHeadDim; d += 64) {
        prefetch_l2(source + rows[half] * copy.strides.row + d);
      }
    }
  }
  source += lane % kLanes * 8;
  auto* to = static_cast<std::uint16_t*>(copy.destination) +
             (std::int64_t{head} * copy.n_rows + first + lane / kLanes) * kHeadDim +
             lane % kLanes * 8;
#pragma unroll 1
  for (std::int32_t at = 0; at < count; at += kRows * kDeep) {
    uint4 data[kDeep];
#pragma unroll
    for (int i = 0; i < kDeep; ++i) {
      const std::int32_t place = at + i * kRows;  // of the first lanes
      const std::int32_t from =
          __shfl_sync(0xFFFFFFFFU, place < 32 ? rows[0] : rows[1], place % 32 + lane / kLanes);
      data[i] = uint4{0, 0, 0, 0};
      if (kBeside || from != kNoRow) {
        data[i] = __ldg(reinterpret_cast<const uint4*>(source + from * copy.strides.row));
      }
    }
#pragma unroll
    for (int i = 0; i < kDeep; ++i) {
      if (at + i * kRows + lane / kLanes < count) {
        *reinterpret_cast<uint4*>(to + i * kRows * kHeadDim) = data[i];
      }
    }
    to += kRows * kDeep * kHeadDim;
  }
  return true;
}

/// Draws pieces until there are none left, or until `over`.
template <int kHeadDim, int kDeep, bool kBeside, class Over>
__device__ __forceinline__ void copy_pieces(const RowCopies& copies, Over over) {
  constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  const auto draw = [&]() -> std::uint32_t {
    if (threadIdx.x % 32 != 0) return 0;
    return over() ? kNone : atomicAdd(copies.drawn, 1U);
  };
  for (std::uint32_t drawn = draw();;) {
    const std::uint32_t piece = __shfl_sync(0xFFFFFFFFU, drawn, 0);
    drawn = draw();  // under way while this one is copied
    if (!copy_piece<kHeadDim, kDeep, kBeside>(copies, piece)) break;
  }
}

}  // namespace attn::hopper

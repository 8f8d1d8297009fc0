// SPDX-License-Identifier: Apache-2.0
//
// The end of an item: O and LSE leave the registers.
#pragma once

#include "cuda/hopper/config.cuh"
#include "cuda/hopper/mask.cuh"
#include "cuda/hopper/ordered_rows.cuh"
#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/ptx.cuh"
#include "cuda/hopper/softmax.cuh"

namespace attn::hopper {

/// Row of Q, O and LSE in which row i of the mask stands, number `place` of its block.
template <class Config>
__device__ __forceinline__ std::int64_t row_of(const ForwardParams& p, const BlockRows& rows,
                                               int place, std::int32_t i) {
  if constexpr (Config::kTellsRows) return row_in(rows, place, p.mask.q_order, i);
  return p.mask.q_order == nullptr ? i : __ldg(p.mask.q_order + i);
}

/// O and LSE of a part of a row tile, for merge.cuh, unless `part` is kNoPart: 16 rows of a warp
/// from `first_row` of the tile on. Four threads write a row, 32 bytes at a time. Each store is
/// under a predicate, because a branch around them makes ptxas serialise the wgmmas.
template <class Config>
__device__ __forceinline__ void write_part(const PartialRows& parts, std::int32_t part,
                                           std::int32_t first_row, int lane,
                                           const float (&log_sum)[2],
                                           const float (&o)[Config::kHeadDim / 2]) {
  constexpr int kDim = Config::kHeadDim;
  const std::int64_t row = std::int64_t{part} * Config::kBlockM + first_row + lane / 4;
  float* const to = parts.o + row * kDim + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < kDim / 8; ++j) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      ptx::store_if(part >= 0, to + r * 8 * kDim + j * 8, o[4 * j + 2 * r], o[4 * j + 2 * r + 1]);
    }
  }
  ptx::store_if(lane % 4 == 0 && part >= 0, parts.lse + row, log_sum[0]);
  ptx::store_if(lane % 4 == 0 && part >= 0, parts.lse + row + 8, log_sum[1]);
}

/// Divides O by the sums and writes O and LSE of 64 rows of the item in this slot. O goes through
/// the slot's Q rows, which only the same warp has read, so that rows leave whole; on return, Q may
/// be loaded there again. Of a part of an item they go to the workspace.
template <class Config>
__device__ __forceinline__ void write_item(const ForwardParams& p, SharedStorage<Config>& shared,
                                           std::uint32_t slot, int group, int thread,
                                           const RowState& row, float (&o)[Config::kHeadDim / 2]) {
  using Element = typename Config::Element;
  constexpr int kOutputs = Config::kHeadDim / 2;
  // Where the next scores are not under way, registers are free to pack all of O before any is
  // stored.
  constexpr bool kPackedAtOnce = !Config::kOverlapItems;
  const ItemInfo<Config::kTellsPlaces>& info = shared.item[slot];
  const int warp = thread / 32;
  const int lane = thread % 32;
  BlockRows rows_of_block{};
  if constexpr (Config::kTellsRows) rows_of_block = shared.rows[slot][group];
  const std::uint32_t seen = quad_or(row.seen);
  bool redo = false;
  float log_sum[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float sum = quad_sum(row.sum[r]);
    const bool has_key = (seen & (r == 0 ? kUpperRow : kLowerRow)) != 0;
    // All allowed scores −inf: 0 / 0, which the safe path answers as the reference does.
    const float scale = sum != 0 ? __fdividef(1.0F, sum) : has_key ? NAN : 0.0F;
    float finite = 0;
#pragma unroll
    for (int i = 0; i < kOutputs; i += 4) {
      o[i + 2 * r] *= scale;
      o[i + 2 * r + 1] *= scale;
      if (!kPackedAtOnce) finite += o[i + 2 * r] * 0.0F + o[i + 2 * r + 1] * 0.0F;
    }
    redo |= finite != 0 || scale != scale;
    log_sum[r] = sum != 0 ? row.base[r] * 0.69314718F + __logf(sum) : -INFINITY;
    // Of a part, O is looked at only where LSE says that the row has a key.
    if (Config::kCuts && scale != scale) log_sum[r] = NAN;
  }

  std::int32_t part = kNoPart;
  if constexpr (Config::kCuts) {
    part = shared.part[slot];
    write_part<Config>(p.parts, part, group * kQuadrant + warp * 16, lane, log_sum, o);
  }
  std::uint32_t pairs[kOutputs / 2];
  if constexpr (kPackedAtOnce) {
    // Zeros stay zeros while numbers are finite.
    std::uint32_t zeros[2] = {0, 0};
#pragma unroll
    for (int j = 0; j < kOutputs / 2; ++j) {
      pairs[j] = ptx::pack<Element>(o[2 * j], o[2 * j + 1]);
      zeros[j % 2] = ptx::add_zero_times<Element>(zeros[j % 2], pairs[j]);
    }
    redo |= ((zeros[0] | zeros[1]) & 0x7FFF7FFFU) != 0;
  }
  if (__any_sync(0xFFFFFFFFU, redo) && lane == 0) p.counters->redo = 1;
  // Of a part, no row is written below.
  const std::int32_t first_row =
      part == kNoPart ? info.row_tile * Config::kBlockM + group * kQuadrant + warp * 16 : p.n_q;
  if (p.lse != nullptr && lane % 4 == 0) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const std::int32_t i = first_row + lane / 4 + 8 * r;
      if (i < p.n_q) {
        p.lse[info.lse(p) + row_of<Config>(p, rows_of_block, warp * 16 + lane / 4 + 8 * r, i) *
                                p.lse_strides.row] = log_sum[r];
      }
    }
  }

  std::uint16_t* const staging = shared.q[slot] + (group * kQuadrant + warp * 16) * kPanel;
  const std::uint32_t base = shared_address(staging);
  const int in_matrix = lane % 8;
  const int matrix_row = in_matrix + lane / 8 % 2 * 8;
#pragma unroll
  for (int j = 0; j < kOutputs / 8; ++j) {
    const int chunk = (2 * j + lane / 16) % 8;
    const int panel = j / 4;
    const std::uint32_t address =
        base + panel * Config::kBlockM * 128 + matrix_row * 128 + ((chunk ^ in_matrix) << 4);
    if constexpr (kPackedAtOnce) {
      ptx::store_matrix_x4(address, pairs[4 * j], pairs[4 * j + 1], pairs[4 * j + 2],
                           pairs[4 * j + 3]);
    } else {
      ptx::store_matrix_x4(address, ptx::pack<Element>(o[8 * j], o[8 * j + 1]),
                           ptx::pack<Element>(o[8 * j + 2], o[8 * j + 3]),
                           ptx::pack<Element>(o[8 * j + 4], o[8 * j + 5]),
                           ptx::pack<Element>(o[8 * j + 6], o[8 * j + 7]));
    }
  }
  __syncwarp();
  constexpr int kChunks = Config::kHeadDim / 8;  // of 16 bytes in a row
  constexpr int kRowsAtOnce = 32 / kChunks;
  constexpr int kPasses = 16 / kRowsAtOnce;
  auto* const rows = static_cast<std::uint16_t*>(p.o) + info.o(p);
  const int chunk = lane % kChunks;
  const auto source = [&](int r) {
    return reinterpret_cast<const uint4*>(staging + (chunk / 8 * Config::kBlockM + r) * kPanel +
                                          ((chunk % 8) ^ (r % 8)) * 8);
  };
  const auto destination = [&](int r, std::int32_t i) {
    const std::int64_t to = row_of<Config>(p, rows_of_block, warp * 16 + r, i);
    return reinterpret_cast<uint4*>(rows + to * p.o_strides.row + chunk * 8);
  };
  if constexpr (kPackedAtOnce) {
    uint4 chunks[kPasses];
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      chunks[pass] = *source(pass * kRowsAtOnce + lane / kChunks);
    }
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int r = pass * kRowsAtOnce + lane / kChunks;
      const std::int32_t i = first_row + r;
      uint4* const to = destination(r, min(i, p.n_q - 1));
      if (i < p.n_q) *to = chunks[pass];
    }
  } else {
    // Spelled out: of the same by the two lambdas ptxas serialises the wgmmas.
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int r = pass * kRowsAtOnce + lane / kChunks;
      const auto* const from = reinterpret_cast<const uint4*>(
          staging + (chunk / 8 * Config::kBlockM + r) * kPanel + ((chunk % 8) ^ (r % 8)) * 8);
      const std::int32_t i = first_row + r;
      if (i < p.n_q) {
        const std::int64_t to = row_of<Config>(p, rows_of_block, warp * 16 + r, i);
        *reinterpret_cast<uint4*>(rows + to * p.o_strides.row + chunk * 8) = *from;
      }
    }
  }
  // The next Q comes here through TMA: order it behind these ordinary accesses.
  cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
  __syncwarp();
}

}  // namespace attn::hopper

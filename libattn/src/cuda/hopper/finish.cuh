// SPDX-License-Identifier: Apache-2.0
//
// The kernel behind every forward: zeroes rows that visit no tile, and answers again, in fp64 and
// touching allowed keys only, every row in which a non-finite number came out. A NaN or Inf at a
// masked key enters a row of the main kernel only as 0 * NaN in P V, so it shows in O; O itself is
// the list of rows to redo, and any finite row is right.
#pragma once

#include <type_traits>

#include "cuda/hopper/config.cuh"
#include "cuda/hopper/mask.cuh"
#include "cuda/hopper/params.hpp"
#include "cuda/hopper/ptx.cuh"
#include "cuda/hopper/schedule.cuh"
#include "cuda/hopper/steps.cuh"

namespace attn::hopper {

inline constexpr int kFinishThreads = 256;

template <class T>
__device__ __forceinline__ float to_float(std::uint16_t bits) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __bfloat162float(__ushort_as_bfloat16(bits));
  } else {
    return __half2float(__ushort_as_half(bits));
  }
}
template <class T>
__device__ __forceinline__ std::uint16_t from_float(float value) {
  return static_cast<std::uint16_t>(ptx::pack<T>(value, 0.0F) & 0xFFFFU);
}

/// One warp answers single rows, lane by key for scores and lane by column for the output.
template <class Config>
class RowRedo {
 public:
  __device__ RowRedo(const ForwardParams& p) : p_(p), lane_(static_cast<int>(threadIdx.x % 32)) {}

  /// Row i of the mask for this head, when its O holds a non-finite number.
  __device__ void check(std::int32_t batch, std::int32_t head, std::int32_t i) {
    const std::int64_t row = p_.mask.q_order == nullptr ? i : p_.mask.q_order[i];
    auto* const o = static_cast<std::uint16_t*>(p_.o) + offset(p_.o_strides, batch, head, row);
    bool finite = true;
    for (int d = lane_; d < Config::kHeadDim; d += 32) finite &= isfinite(to_float<T>(o[d]));
    if (__all_sync(kAll, finite) && !p_.redo_all) return;

    q_ = static_cast<const std::uint16_t*>(p_.q) + offset(p_.q_strides, batch, head, row);
    k_ = static_cast<const std::uint16_t*>(p_.k) + offset(p_.k_strides, batch, head / p_.group, 0);
    v_ = static_cast<const std::uint16_t*>(p_.v) + offset(p_.v_strides, batch, head / p_.group, 0);
    double max = -INFINITY;
    bool any = false;
    for_keys(batch, head, i, [&](std::int64_t key, bool allowed) {
      any |= allowed;
      if (allowed) max = fmax(max, score(key));
    });
    for (int m = 16; m > 0; m /= 2) max = fmax(max, __shfl_xor_sync(kAll, max, m));
    any = __any_sync(kAll, any) != 0;

    double sum = 0;
    double out[kColumns] = {};
    for_keys(batch, head, i, [&](std::int64_t key, bool allowed) {
      const double weight = allowed ? exp(score(key) - max) : 0.0;
      if (allowed) sum += weight;
      for (unsigned todo = __ballot_sync(kAll, allowed); todo != 0; todo &= todo - 1) {
        const int source = __ffs(static_cast<int>(todo)) - 1;
        const double w = __shfl_sync(kAll, weight, source);
        const std::int64_t from = __shfl_sync(kAll, key, source);
        for (int c = 0; c < kColumns; ++c) {
          out[c] += w * to_float<T>(v_[from * p_.v_strides.row + lane_ + 32 * c]);
        }
      }
    });
    for (int m = 16; m > 0; m /= 2) sum += __shfl_xor_sync(kAll, sum, m);
    for (int c = 0; c < kColumns; ++c) {
      o[lane_ + 32 * c] = from_float<T>(any ? static_cast<float>(out[c] / sum) : 0.0F);
    }
    if (p_.lse != nullptr && lane_ == 0) {
      p_.lse[offset(p_.lse_strides, batch, head, row)] =
          any ? static_cast<float>(max + log(sum)) : -INFINITY;
    }
  }

 private:
  using T = typename Config::Element;
  static constexpr unsigned kAll = 0xFFFFFFFFU;
  static constexpr int kColumns = Config::kHeadDim / 32;

  static __device__ std::int64_t offset(const Strides& s, std::int64_t batch, std::int64_t head,
                                        std::int64_t row) {
    return batch * s.batch + head * s.head + row * s.row;
  }

  __device__ double score(std::int64_t key) const {
    double dot = 0;
    for (int d = 0; d < Config::kHeadDim; ++d) {
      dot += double{to_float<T>(q_[d])} * double{to_float<T>(k_[key * p_.k_strides.row + d])};
    }
    return dot * p_.scale;
  }

  /// body(row of K and V, allowed) for the keys of every visited tile, 32 at a time.
  template <class Body>
  __device__ void for_keys(std::int32_t batch, std::int32_t head, std::int32_t i, Body body) const {
    const DeviceMask& m = p_.mask;
    const std::int32_t mask = (m.batch == 1 ? 0 : batch) * m.heads + (m.heads == 1 ? 0 : head);
    const WorkItem item = m.rows[std::int64_t{mask} * m.row_tiles + i / Config::kBlockM];
    const int group = i % Config::kBlockM / kQuadrant;
    const int row = i % 16;
    for (int t = 0; t < item.n_tiles; ++t) {
      const TileEntry tile = m.tiles[item.first_tile + t];
      std::uint32_t strip = tile.bits;
      for (int g = 0; g < group; ++g) strip += is_stored(tile.key, g);
      const int thread = i % kQuadrant / 16 * 32 + row % 8 * 4;
      for (int j = lane_; j < kStripKeys; j += 32) {
        const std::int64_t key = std::int64_t{key_tile(tile.key)} * kStripKeys + j;
        const std::uint32_t state = quadrant(tile.key, group, j / kQuadrant);
        bool allowed = key < p_.n_k && state != kEmpty;
        if (allowed && state == kPartial) {
          const std::uint32_t word =
              m.bits[word_index(strip, thread + j % 8 / 2) + key / kQuadrant % 2];
          allowed = (word >> (j % kQuadrant / 8 * 4 + row / 8 * 2 + j % 2) & 1U) != 0;
        }
        const std::int64_t place = allowed && m.kv_order != nullptr ? m.kv_order[key] : key;
        body(place, allowed);
      }
    }
  }

  const ForwardParams& p_;
  int lane_;
  const std::uint16_t* q_ = nullptr;
  const std::uint16_t* k_ = nullptr;
  const std::uint16_t* v_ = nullptr;
};

/// O = 0 and LSE = −inf for 64 queries that visit no tile.
template <class Config>
__device__ void clear_block(const ForwardParams& p, const EmptyBlock& block, const Place& place) {
  constexpr int kChunks = Config::kHeadDim / 8;
  for (int c = static_cast<int>(threadIdx.x); c < kQuadrant * kChunks; c += kFinishThreads) {
    const std::int32_t i = block.block * kQuadrant + c / kChunks;
    if (i >= p.n_q) break;
    const std::int64_t row = p.mask.q_order == nullptr ? i : p.mask.q_order[i];
    auto* const o = static_cast<std::uint16_t*>(p.o) + place.batch * p.o_strides.batch +
                    place.head * p.o_strides.head + row * p.o_strides.row;
    *reinterpret_cast<uint4*>(o + c % kChunks * 8) = uint4{0, 0, 0, 0};
    if (p.lse != nullptr && c % kChunks == 0) {
      p.lse[place.batch * p.lse_strides.batch + place.head * p.lse_strides.head +
            row * p.lse_strides.row] = -INFINITY;
    }
  }
}

template <class Config>
__global__ void __launch_bounds__(kFinishThreads)
    finish_kernel(const __grid_constant__ ForwardParams p) {
  __shared__ std::uint32_t redo;
  if (threadIdx.x == 0) {
    redo = *const_cast<volatile std::uint32_t*>(&p.counters->redo);
    __threadfence();
    if (atomicAdd(&p.counters->finished, 1U) == gridDim.x - 1) *p.counters = Counters{};
  }
  for (std::int64_t w = blockIdx.x; w < std::int64_t{p.mask.n_empty_blocks} * p.repeats;
       w += gridDim.x) {
    const EmptyBlock block = p.mask.empty_blocks[w / p.repeats];
    clear_block<Config>(p, block,
                        place_of(p, block.mask, static_cast<std::int32_t>(w % p.repeats)));
  }
  __syncthreads();
  if (redo == 0 && !p.redo_all) return;
  constexpr int kWarps = kFinishThreads / 32;
  const std::int64_t rows = std::int64_t{p.batch} * p.heads * p.n_q;
  RowRedo<Config> row_redo(p);
  for (std::int64_t row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; row < rows;
       row += std::int64_t{gridDim.x} * kWarps) {
    const std::int64_t head = row / p.n_q;
    row_redo.check(static_cast<std::int32_t>(head / p.heads),
                   static_cast<std::int32_t>(head % p.heads),
                   static_cast<std::int32_t>(row % p.n_q));
  }
}

}  // namespace attn::hopper

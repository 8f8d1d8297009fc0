// SPDX-License-Identifier: Apache-2.0
//
// The safe path of the gradients: sums again, in fp64 and over allowed pairs only, every row of dQ,
// dK and dV that holds a non-finite number. One at a masked pair enters the passes only as
// 0 * NaN, so it shows in their results, which are therefore the list of rows to redo.
#pragma once

#include "cuda/hopper/backward_config.cuh"
#include "cuda/hopper/finish.cuh"
#include "cuda/hopper/launch_behind.cuh"
#include "cuda/hopper/steps.cuh"

namespace attn::hopper {

/// One warp sums single rows, lane by pair for weights and lane by column for sums.
template <class T, int kDim, Pass kWhich>
class GradientRedo {
 public:
  __device__ GradientRedo(const BackwardParams& p)
      : p_(p), lane_(static_cast<int>(threadIdx.x % 32)) {}

  /// Row i of the mask (over rows: a query of dQ; over keys: a key of dK and dV) for this head.
  __device__ void check(std::int32_t batch, std::int32_t head, std::int32_t i) {
    const Written& to1 = kOverKeys ? p_.dk : p_.dq;
    const std::int64_t row = place(to1, i);
    std::uint16_t* const out1 = written(to1, batch, head, row);
    std::uint16_t* const out2 = kOverKeys ? written(p_.dv, batch, head, row) : out1;
    bool finite = true;
    for (int d = lane_; d < kDim; d += 32) {
      finite &= isfinite(to_float<T>(out1[d])) && isfinite(to_float<T>(out2[d]));
    }
    if (__all_sync(kAll, finite)) return;

    a1_ = kOverKeys ? row_of(p_.k, p_.k_strides, batch, head, row)
                    : row_of(p_.q, p_.q_strides, batch, head, row);
    a2_ = kOverKeys ? row_of(p_.v, p_.v_strides, batch, head, row)
                    : row_of(p_.d_o, p_.d_o_strides, batch, head, row);
    for (int c = 0; c < kColumns; ++c) sum1_[c] = sum2_[c] = 0;
    if constexpr (kOverKeys) {
      for (std::int32_t h = head * p_.group; h < (head + 1) * p_.group; ++h) {
        walk_column(batch, h, i);
      }
    } else {
      walk_row(batch, head, i);
    }
    for (int c = 0; c < kColumns; ++c) {
      out1[lane_ + 32 * c] = from_float<T>(static_cast<float>(sum1_[c] * p_.scale));
      if (kOverKeys) out2[lane_ + 32 * c] = from_float<T>(static_cast<float>(sum2_[c]));
    }
  }

 private:
  static constexpr bool kOverKeys = kWhich == Pass::keys;
  static constexpr unsigned kAll = 0xFFFFFFFFU;
  static constexpr int kColumns = kDim / 32;

  /// Where row i of the mask stands on this side.
  static __device__ std::int64_t place(const Written& side, std::int64_t i) {
    return side.order == nullptr ? i : side.order[i];
  }
  static __device__ std::uint16_t* written(const Written& to, std::int32_t batch, std::int32_t head,
                                           std::int64_t row) {
    return static_cast<std::uint16_t*>(to.data) + batch * to.strides.batch +
           head * to.strides.head + row * to.strides.row;
  }
  static __device__ const std::uint16_t* row_of(const void* data, const Strides& s,
                                                std::int32_t batch, std::int32_t head,
                                                std::int64_t row) {
    return static_cast<const std::uint16_t*>(data) + batch * s.batch + head * s.head + row * s.row;
  }
  static __device__ double dot(const std::uint16_t* a, const std::uint16_t* b) {
    double sum = 0;
    for (int d = 0; d < kDim; ++d) sum += double{to_float<T>(a[d])} * double{to_float<T>(b[d])};
    return sum;
  }
  __device__ std::int64_t mask_of(std::int32_t batch, std::int32_t head) const {
    return std::int64_t{p_.mask.batch == 1 ? 0 : batch} * p_.mask.heads +
           (p_.mask.heads == 1 ? 0 : head);
  }

  /// Whether a strip's words allow query q to see key k, of its 64 and 128.
  __device__ bool bit(std::uint32_t strip, int q, int k) const {
    const int thread = q / 16 * 32 + q % 8 * 4 + k % 8 / 2;
    const std::uint32_t word = p_.mask.bits[word_index(strip, thread) + k / kQuadrant];
    return (word >> (k % kQuadrant / 8 * 4 + q / 8 % 2 * 2 + k % 2) & 1U) != 0;
  }

  __device__ void walk_row(std::int32_t batch, std::int32_t head, std::int32_t i) {
    const DeviceMask& m = p_.mask;
    const WorkItem row = m.rows[mask_of(batch, head) * m.row_tiles + i / kBackwardRows];
    const int group = i % kBackwardRows / kQuadrant;
    const std::uint16_t* const k = row_of(p_.k, p_.k_strides, batch, head / p_.group, 0);
    const std::uint16_t* const v = row_of(p_.v, p_.v_strides, batch, head / p_.group, 0);
    const std::int64_t stat = (std::int64_t{batch} * p_.heads + head) * p_.padded_q + i;
    for (std::int32_t t = 0; t < row.n_tiles; ++t) {
      const TileEntry tile = m.tiles[row.first_tile + t];
      std::uint32_t strip = tile.bits;
      for (int g = 0; g < group; ++g) strip += is_stored(tile.key, g);
      for (int j = lane_; j < kStripKeys; j += 32) {
        const std::int64_t key = std::int64_t{key_tile(tile.key)} * kStripKeys + j;
        const std::uint32_t state = quadrant(tile.key, group, j / kQuadrant);
        const bool allowed =
            key < p_.n_k && (state == kFull || (state == kPartial && bit(strip, i % kQuadrant, j)));
        const std::int64_t at = allowed ? place(p_.dk, key) : 0;
        add(k + at * p_.k_strides.row, v + at * p_.v_strides.row, stat, allowed);
      }
    }
  }

  __device__ void walk_column(std::int32_t batch, std::int32_t head, std::int32_t i) {
    const DeviceColumns& m = p_.columns;
    const std::int64_t column = mask_of(batch, head) * m.key_tiles + i / kStripKeys;
    const int key = i % kStripKeys;
    const std::uint16_t* const q = row_of(p_.q, p_.q_strides, batch, head, 0);
    const std::uint16_t* const d_o = row_of(p_.d_o, p_.d_o_strides, batch, head, 0);
    const std::int64_t stats = (std::int64_t{batch} * p_.heads + head) * p_.padded_q;
    for (std::int32_t t = m.offsets[column]; t < m.offsets[column + 1]; ++t) {
      const StripEntry strip = m.strips[t];
      const std::uint32_t state = (strip.block >> (kKeyTileBits + 2 * (key / kQuadrant))) & 3U;
      const std::int64_t first = std::int64_t{strip.block & ((1U << kKeyTileBits) - 1)} * kQuadrant;
      for (int j = lane_; j < kQuadrant; j += 32) {
        const std::int64_t query = first + j;
        const bool allowed =
            query < p_.n_q && (state == kFull || (state == kPartial && bit(strip.bits, j, key)));
        const std::int64_t at = allowed ? place(p_.dq, query) : 0;
        add(q + at * p_.q_strides.row, d_o + at * p_.d_o_strides.row, stats + query, allowed);
      }
    }
  }

  /// 32 pairs of this row, lane by lane; `stat` is the place of the query's numbers.
  __device__ void add(const std::uint16_t* b1, const std::uint16_t* b2, std::int64_t stat,
                      bool allowed) {
    double weight = 0;
    double slope = 0;
    if (allowed) {
      weight = exp2(dot(a1_, b1) * p_.scale * 1.4426950408889634 - p_.lse_log2[stat]);
      slope = weight * (dot(a2_, b2) - p_.delta[stat]);
    }
    for (unsigned todo = __ballot_sync(kAll, allowed); todo != 0; todo &= todo - 1) {
      const int source = __ffs(static_cast<int>(todo)) - 1;
      const double w = __shfl_sync(kAll, weight, source);
      const double s = __shfl_sync(kAll, slope, source);
      const auto* const from1 = reinterpret_cast<const std::uint16_t*>(
          __shfl_sync(kAll, reinterpret_cast<unsigned long long>(b1), source));
      const auto* const from2 = reinterpret_cast<const std::uint16_t*>(
          __shfl_sync(kAll, reinterpret_cast<unsigned long long>(b2), source));
      for (int c = 0; c < kColumns; ++c) {
        sum1_[c] += s * to_float<T>(from1[lane_ + 32 * c]);
        if (kOverKeys) sum2_[c] += w * to_float<T>(from2[lane_ + 32 * c]);
      }
    }
  }

  const BackwardParams& p_;
  int lane_;
  const std::uint16_t* a1_ = nullptr;
  const std::uint16_t* a2_ = nullptr;
  double sum1_[kColumns], sum2_[kColumns];
};

template <class T, int kDim, Pass kWhich>
__device__ void redo_gradients(const BackwardParams& p) {
  constexpr bool kOverKeys = kWhich == Pass::keys;
  if (p.state->redo[kOverKeys ? 1 : 0] == 0) return;
  constexpr int kWarps = kFinishThreads / 32;
  const std::int32_t n = kOverKeys ? p.n_k : p.n_q;
  const std::int32_t heads = kOverKeys ? p.heads / p.group : p.heads;
  const std::int64_t rows = std::int64_t{p.batch} * heads * n;
  GradientRedo<T, kDim, kWhich> redo(p);
  for (std::int64_t row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; row < rows;
       row += std::int64_t{gridDim.x} * kWarps) {
    const std::int64_t pair = row / n;
    redo.check(static_cast<std::int32_t>(pair / heads), static_cast<std::int32_t>(pair % heads),
               static_cast<std::int32_t>(row % n));
  }
}

template <class T, int kDim>
__global__ void __launch_bounds__(kFinishThreads)
    finish_backward_kernel(const __grid_constant__ BackwardParams p) {
  wait_for_front();
  redo_gradients<T, kDim, Pass::rows>(p);
  redo_gradients<T, kDim, Pass::keys>(p);
}

}  // namespace attn::hopper

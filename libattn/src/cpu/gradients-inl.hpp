// SPDX-License-Identifier: Apache-2.0
//
// The tiles of the backward pass. Included once for every instruction set.
#if defined(ATTN_CPU_GRADIENTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTN_CPU_GRADIENTS_INL_HPP
#undef ATTN_CPU_GRADIENTS_INL_HPP
#else
#define ATTN_CPU_GRADIENTS_INL_HPP
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu/convert-inl.hpp"
#include "cpu/kernels.hpp"
#include "cpu/matmul-inl.hpp"
#include "cpu/pack-inl.hpp"
#include "cpu/scores-inl.hpp"
#include "cpu/softmax-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {

HWY_INLINE float dot(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                     std::size_t padded_count) {
  Vector sum = hn::Zero(kFloats);
  for (std::size_t n = 0; n < padded_count; n += kLanes) {
    sum = hn::MulAdd(hn::Load(kFloats, a + n), hn::Load(kFloats, b + n), sum);
  }
  return hn::GetLane(hn::SumOfLanes(kFloats, sum));
}

void begin_gradients(const Layout& layout, const GradientHead& head, std::int32_t first,
                     float factor, GradientRows& tile, TileBits& unsound) {
  const auto head_dim = static_cast<std::size_t>(layout.head_dim);
  const std::size_t width = layout.padded_width();
  const auto rows = static_cast<std::size_t>(tile.rows);
  const std::size_t padded = (rows + kRowGroup - 1) / kRowGroup * kRowGroup;
  float* const row = tile.row;
  float* const other = tile.row + width;
  const auto load = [&](const HeadRows& from, std::size_t r, float* out) {
    widen(from.row(first + static_cast<std::int32_t>(r)), from.dtype(), from.stride(), head_dim,
          out);
  };
  unsound.fill(0);
  std::fill_n(row, 2 * width, 0.0f);
  for (std::size_t r = 0; r < rows; ++r) {
    load(head.d_o, r, row);
    load(head.o, r, other);
    tile.delta[r] = dot(row, other, width);
    store_column(row, head_dim, r, 1.0f, tile.d_o);
    bool sound = store_row(row, layout, layout.block_m, r, tile.d_o_rows);

    load(head.q, r, other);
    store_column(other, head_dim, r, factor, tile.queries);
    sound = store_row(other, layout, layout.block_m, r, tile.query_rows) && sound;
    if (!sound) set(unsound, static_cast<std::int32_t>(r));
  }
  std::fill_n(row, width, 0.0f);
  for (std::size_t r = rows; r < padded; ++r) {
    store_column(row, head_dim, r, 1.0f, tile.d_o);
    store_column(row, head_dim, r, 1.0f, tile.queries);
    tile.lse[r] = tile.delta[r] = 0.0f;
  }
  std::fill_n(tile.dq, padded * width, 0.0f);
}

/// Turns a group's scores into P, and dO Vᵀ, which stands in `ds`, into dS = P ∘ (dO Vᵀ − D).
/// Masked elements are replaced by zeros, never multiplied: they may be NaN.
HWY_INLINE void score_gradients(float* HWY_RESTRICT p, float* HWY_RESTRICT ds, std::size_t vectors,
                                const std::uint8_t* bits, std::size_t bits_stride, const float* lse,
                                const float* delta) {
  for (std::size_t r = 0; r < kRowGroup; ++r, p += kScoreStride, ds += kScoreStride) {
    const Vector shift = hn::Set(kFloats, lse[r]);
    const Vector d = hn::Set(kFloats, delta[r]);
    for (std::size_t v = 0; v < vectors * kLanes; v += kLanes) {
      Vector weight = exp2(hn::Sub(hn::Load(kFloats, p + v), shift));
      Vector change = hn::Mul(weight, hn::Sub(hn::Load(kFloats, ds + v), d));
      if (bits != nullptr) {
        const auto allowed = lane_mask(bits + r * bits_stride, v);
        weight = hn::IfThenElseZero(allowed, weight);
        change = hn::IfThenElseZero(allowed, change);
      }
      hn::Store(weight, kFloats, p + v);
      hn::Store(change, kFloats, ds + v);
    }
  }
}

/// sums += left · right for one group of rows of `sums`.
template <class Left>
struct Accumulate {
  Left left;
  const float* right;
  std::size_t depth;
  std::size_t right_stride;
  float* sums;
  std::size_t width;

  template <int kVectors>
  HWY_INLINE void run(std::size_t first) const {
    Vector block[kRowGroup][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRowGroup; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) block[r][v] = hn::Load(kFloats, place(r, first, v));
    }
    multiply_add<kVectors>(left, right + first * right_stride, right_stride, depth, block);
#pragma GCC unroll 8
    for (int r = 0; r < kRowGroup; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) hn::Store(block[r][v], kFloats, place(r, first, v));
    }
  }

  HWY_INLINE float* place(int r, std::size_t first, int v) const {
    return sums + static_cast<std::size_t>(r) * width +
           (first + static_cast<std::size_t>(v)) * kLanes;
  }
};

void add_query_gradients(const Layout& layout, const GradientKeys& keys, GradientRows& tile) {
  using Left = LeftFactor<kScoreStride, 1>;
  GroupMask mask(layout, keys.bits, keys.cols);
  const auto head_dim = static_cast<std::size_t>(layout.head_dim);
  const std::size_t width = layout.padded_width();
  const std::size_t key_vectors = layout.key_vectors(keys.cols);
  const std::size_t rows_stride = static_cast<std::size_t>(layout.block_n) * kLanes;
  for (std::size_t r = 0; r < static_cast<std::size_t>(tile.rows); r += kRowGroup) {
    float* const p = tile.p + r * kScoreStride;
    float* const ds = tile.ds + r * kScoreStride;
    in_groups(key_vectors, Scores{tile.queries + r * head_dim, keys.keys, head_dim, p});
    in_groups(key_vectors, Scores{tile.d_o + r * head_dim, keys.values, head_dim, ds});
    score_gradients(p, ds, key_vectors, mask.at(r), mask.stride(), tile.lse + r, tile.delta + r);
    in_groups(layout.width_vectors(), Accumulate<Left>{{ds},
                                                       keys.key_rows,
                                                       static_cast<std::size_t>(keys.cols),
                                                       rows_stride,
                                                       tile.dq + r * width,
                                                       width});
  }
}

void add_key_gradients(const Layout& layout, const GradientKeys& keys, const GradientRows& tile) {
  using Left = LeftFactor<1, kScoreStride>;
  const std::size_t width = layout.padded_width();
  const auto rows = static_cast<std::size_t>(tile.rows);
  const std::size_t rows_stride = static_cast<std::size_t>(layout.block_m) * kLanes;
  for (std::size_t k = 0; k < static_cast<std::size_t>(keys.cols); k += kRowGroup) {
    in_groups(layout.width_vectors(),
              Accumulate<Left>{
                  {tile.p + k}, tile.d_o_rows, rows, rows_stride, keys.dv + k * width, width});
    in_groups(layout.width_vectors(),
              Accumulate<Left>{
                  {tile.ds + k}, tile.query_rows, rows, rows_stride, keys.dk + k * width, width});
  }
}

bool finish_gradient(const Layout& layout, const float* sums, float factor, const HeadRows& to,
                     std::int32_t i, float* row) {
  const Vector scale = hn::Set(kFloats, factor);
  for (std::size_t w = 0; w < layout.padded_width(); w += kLanes) {
    hn::Store(hn::Mul(hn::Load(kFloats, sums + w), scale), kFloats, row + w);
  }
  if (!all_finite(row, layout.padded_width())) return false;
  narrow(row, static_cast<std::size_t>(layout.head_dim), to.dtype(), to.stride(), to.row(i));
  return true;
}

}  // namespace attn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle

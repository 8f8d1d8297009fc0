// SPDX-License-Identifier: Apache-2.0
//
// The tiles of flash attention in fp32, compiled once for every instruction set by Highway.

// Vectors whose size is unknown to the compiler cannot stand in arrays; on processors that have
// them NEON serves, or scalar code. (On x86 nothing is disabled: programs that use Highway
// themselves must agree with this file on the set of targets.)
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/kernels.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/convert-inl.hpp"
#include "cpu/gradients-inl.hpp"
#include "cpu/kernels.hpp"
#include "cpu/matmul-inl.hpp"
#include "cpu/pack-inl.hpp"
#include "cpu/scores-inl.hpp"
#include "cpu/softmax-inl.hpp"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {

void begin(const Layout& layout, const HeadRows& q, std::int32_t first, float factor,
           RowTile& tile) {
  const auto head_dim = static_cast<std::size_t>(layout.head_dim);
  const std::int32_t padded = (tile.rows + kRowGroup - 1) / kRowGroup * kRowGroup;
  for (std::int32_t r = 0; r < padded; ++r) {
    if (r < tile.rows) {
      widen(q.row(first + r), q.dtype(), q.stride(), head_dim, tile.row);
    } else {
      std::fill_n(tile.row, head_dim, 0.0f);
    }
    store_column(tile.row, head_dim, static_cast<std::size_t>(r), factor, tile.queries);
  }
  const auto rows = static_cast<std::size_t>(padded);
  std::fill_n(tile.output, rows * layout.padded_width(), 0.0f);
  std::fill_n(tile.max, rows, kMinusInfinity);
  std::fill_n(tile.sum, rows * kLanes, 0.0f);
}

/// output = shrink · output + P V for one group of rows.
struct Output {
  const float* weights;
  const float* values;
  std::size_t cols;
  std::size_t values_stride;
  const float* shrink;
  float* output;
  std::size_t width;

  template <int kVectors>
  HWY_INLINE void run(std::size_t first) const {
    Vector sums[kRowGroup][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRowGroup; ++r) {
      const Vector factor = hn::Set(kFloats, shrink[r]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = hn::Mul(factor, hn::Load(kFloats, place(r, first, v)));
      }
    }
    multiply_add<kVectors>(LeftFactor<kScoreStride, 1>{weights}, values + first * values_stride,
                           values_stride, cols, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRowGroup; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) hn::Store(sums[r][v], kFloats, place(r, first, v));
    }
  }

  HWY_INLINE float* place(int r, std::size_t first, int v) const {
    return output + static_cast<std::size_t>(r) * width +
           (first + static_cast<std::size_t>(v)) * kLanes;
  }
};

void visit(const Layout& layout, const KeyTile& keys, RowTile& tile) {
  HWY_ALIGN float scores[kRowGroup * kScoreStride];
  float shrink[kRowGroup];
  GroupMask mask(layout, keys.bits, keys.cols);
  const auto head_dim = static_cast<std::size_t>(layout.head_dim);
  const std::size_t width = layout.padded_width();
  const std::size_t key_vectors = layout.key_vectors(keys.cols);

  for (std::size_t r = 0; r < static_cast<std::size_t>(tile.rows); r += kRowGroup) {
    in_groups(key_vectors, Scores{tile.queries + r * head_dim, keys.keys, head_dim, scores});
    softmax<kScoreStride>(scores, key_vectors, mask.at(r), mask.stride(),
                          {tile.max + r, tile.sum + r * kLanes}, shrink);
    in_groups(layout.width_vectors(),
              Output{scores, keys.values, static_cast<std::size_t>(keys.cols),
                     static_cast<std::size_t>(layout.block_n) * kLanes, shrink,
                     tile.output + r * width, width});
  }
}

bool finish(const Layout& layout, const RowTile& tile, std::int32_t r, const HeadRows& o,
            std::int32_t i, float* lse) {
  const auto place = static_cast<std::size_t>(r);
  const float sum =
      hn::GetLane(hn::SumOfLanes(kFloats, hn::Load(kFloats, tile.sum + place * kLanes)));
  const float max = tile.max[place];
  // NaN fails every comparison. A sum of 0 means no allowed key, or only scores of −inf.
  if (!(sum > 0.0f && sum <= std::numeric_limits<float>::max() && std::isfinite(max))) return false;

  const Vector factor = hn::Set(kFloats, 1.0f / sum);
  const float* const accumulated = tile.output + place * layout.padded_width();
  for (std::size_t w = 0; w < layout.padded_width(); w += kLanes) {
    const Vector value = hn::Mul(hn::Load(kFloats, accumulated + w), factor);
    hn::Store(value, kFloats, tile.row + w);
  }
  if (!all_finite(tile.row, layout.padded_width())) return false;

  narrow(tile.row, static_cast<std::size_t>(layout.head_dim), o.dtype(), o.stride(), o.row(i));
  if (lse != nullptr) {
    constexpr double kLn2 = 0.69314718055994530942;
    *lse = static_cast<float>(kLn2 * (double{max} + std::log2(double{sum})));
  }
  return true;
}

const Kernels* table() {
  static const Kernels instance{.target = hwy::TargetName(HWY_TARGET),
                                .lanes = static_cast<std::int32_t>(kLanes),
                                .pack_keys = pack_keys,
                                .pack_values = pack_values,
                                .begin = begin,
                                .visit = visit,
                                .finish = finish,
                                .begin_gradients = begin_gradients,
                                .add_query_gradients = add_query_gradients,
                                .add_key_gradients = add_key_gradients,
                                .finish_gradient = finish_gradient};
  return &instance;
}

}  // namespace attn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attn::cpu {

HWY_EXPORT(table);

const Kernels& kernels() {
  return *HWY_DYNAMIC_DISPATCH(table)();
}

}  // namespace attn::cpu
#endif  // HWY_ONCE

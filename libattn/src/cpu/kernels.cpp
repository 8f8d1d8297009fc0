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
#include <cstring>

#include "cpu/convert-inl.hpp"
#include "cpu/kernels.hpp"
#include "cpu/matmul-inl.hpp"
#include "cpu/softmax-inl.hpp"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {

/// From row to row of a group's scores: the widest tile, and one vector more so that the rows do
/// not all fall on the same cache sets.
inline constexpr std::size_t kScoreStride = 256 + kLanes;

void pack_keys(const Layout& layout, const HeadRows& k, std::int32_t first, std::int32_t count,
               float* row, float* packed) {
  const auto head_dim = static_cast<std::size_t>(layout.head_dim);
  const std::size_t padded = layout.key_vectors(count) * kLanes;
  for (std::size_t n = 0; n < padded; ++n) {
    if (n < static_cast<std::size_t>(count)) {
      widen(k.row(first + static_cast<std::int32_t>(n)), k.dtype(), k.stride(), head_dim, row);
    } else {
      std::fill_n(row, head_dim, 0.0f);
    }
    float* const column = packed + n / kLanes * kLanes * head_dim + n % kLanes;
    for (std::size_t d = 0; d < head_dim; ++d) column[d * kLanes] = row[d];
  }
}

/// Sums of x · 0 tell: 0 is 0 for finite x and NaN for the rest.
HWY_INLINE bool all_finite(const float* HWY_RESTRICT row, std::size_t padded_count) {
  const Vector zero = hn::Zero(kFloats);
  Vector witness = zero;
  for (std::size_t n = 0; n < padded_count; n += kLanes) {
    witness = hn::MulAdd(hn::Load(kFloats, row + n), zero, witness);
  }
  return hn::AllTrue(kFloats, hn::Eq(witness, zero));
}

void pack_values(const Layout& layout, const HeadRows& v, std::int32_t first, std::int32_t count,
                 float* row, float* packed, KeySet& unsound) {
  const auto head_dim = static_cast<std::size_t>(layout.head_dim);
  const std::size_t vector_stride = static_cast<std::size_t>(layout.block_n) * kLanes;
  unsound.fill(0);
  std::fill_n(row, layout.padded_width(), 0.0f);
  for (std::int32_t n = 0; n < count; ++n) {
    const auto key = static_cast<std::size_t>(n);
    widen(v.row(first + n), v.dtype(), v.stride(), head_dim, row);
    if (!all_finite(row, layout.padded_width())) {
      unsound[key / 8] = static_cast<std::uint8_t>(unsound[key / 8] | (1u << (key % 8)));
      std::fill_n(row, head_dim, 0.0f);
    }
    float* const out = packed + key * kLanes;
    for (std::size_t w = 0; w < layout.width_vectors(); ++w) {
      hn::Store(hn::Load(kFloats, row + w * kLanes), kFloats, out + w * vector_stride);
    }
  }
}

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
    const auto place = static_cast<std::size_t>(r);
    float* const column =
        tile.queries + place / kRowGroup * kRowGroup * head_dim + place % kRowGroup;
    for (std::size_t d = 0; d < head_dim; ++d) column[d * kRowGroup] = tile.row[d] * factor;
  }
  const auto rows = static_cast<std::size_t>(padded);
  std::fill_n(tile.output, rows * layout.padded_width(), 0.0f);
  std::fill_n(tile.max, rows, kMinusInfinity);
  std::fill_n(tile.sum, rows * kLanes, 0.0f);
}

/// scores = Q Kᵀ for one group of rows.
struct Scores {
  const float* queries;
  const float* keys;
  std::size_t head_dim;
  float* scores;

  template <int kVectors>
  HWY_INLINE void run(std::size_t first) const {
    Vector sums[kRowGroup][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRowGroup; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(kFloats);
    }
    multiply_add<kVectors>(LeftFactor<1, kRowGroup>{queries}, keys + first * kLanes * head_dim,
                           kLanes * head_dim, head_dim, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRowGroup; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        hn::Store(sums[r][v], kFloats,
                  scores + static_cast<std::size_t>(r) * kScoreStride +
                      (first + static_cast<std::size_t>(v)) * kLanes);
      }
    }
  }
};

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

/// The mask of one group of rows, as whole vectors: padded keys are not allowed.
class GroupMask {
 public:
  GroupMask(const Layout& layout, const KeyTile& keys)
      : keys_(keys), row_bytes_(layout.block_n / 8) {
    const auto cols = static_cast<std::size_t>(keys.cols);
    copies_ = keys.bits != nullptr && static_cast<std::size_t>(layout.block_n) % kLanes != 0;
    cut_ = keys.bits == nullptr && cols % kLanes != 0;
    if (copies_ || cut_) std::memset(padded_, 0, sizeof padded_);
    if (cut_) {
      for (std::size_t j = 0; j < cols; ++j) {
        padded_[j / 8] = static_cast<std::uint8_t>(padded_[j / 8] | (1u << (j % 8)));
      }
    }
  }

  /// The bits of the group that starts at row r of the tile, or null when all is allowed.
  const std::uint8_t* at(std::size_t r) {
    if (cut_) return padded_;
    if (keys_.bits == nullptr) return nullptr;
    const std::uint8_t* const bits = keys_.bits + r * row_bytes_;
    if (!copies_) return bits;
    for (std::size_t row = 0; row < kRowGroup; ++row) {
      std::memcpy(padded_ + row * kPaddedBytes, bits + row * row_bytes_, row_bytes_);
    }
    return padded_;
  }
  /// Bytes from row to row of the group.
  std::size_t stride() const { return cut_ ? 0 : copies_ ? kPaddedBytes : row_bytes_; }

 private:
  static constexpr std::size_t kPaddedBytes = 256 / 8 + 8;
  const KeyTile& keys_;
  std::size_t row_bytes_;
  bool copies_;  // a vector would read beyond its row
  bool cut_;     // a full tile that does not fill its last vector
  std::uint8_t padded_[kRowGroup * kPaddedBytes];
};

void visit(const Layout& layout, const KeyTile& keys, RowTile& tile) {
  HWY_ALIGN float scores[kRowGroup * kScoreStride];
  float shrink[kRowGroup];
  GroupMask mask(layout, keys);
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
                                .finish = finish};
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

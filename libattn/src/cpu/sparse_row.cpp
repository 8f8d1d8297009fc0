// SPDX-License-Identifier: Apache-2.0
//
// Single keys of single rows, compiled once for every instruction set by Highway.

// As in kernels.cpp, with whose row groups this file must agree.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/sparse_row.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first.
#include <algorithm>

#include "cpu/convert-inl.hpp"
#include "cpu/matmul-inl.hpp"
#include "cpu/softmax-inl.hpp"
#include "cpu/sparse_row.hpp"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {

/// Keys whose scores are held at once.
inline constexpr std::size_t kChunk = 64;

HWY_INLINE float dot(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, std::size_t count) {
  Vector sum = hn::Zero(kFloats);
  for (std::size_t n = 0; n < count; n += kLanes) {
    sum = hn::MulAdd(hn::Load(kFloats, a + n), hn::Load(kFloats, b + n), sum);
  }
  return hn::GetLane(hn::SumOfLanes(kFloats, sum));
}

void add_keys_of(const Layout& layout, const RowTile& tile, std::int32_t r, const HeadRows& k,
                 const HeadRows& v, std::span<const std::int32_t> keys, float* scratch) {
  const auto place = static_cast<std::size_t>(r);
  const auto head_dim = static_cast<std::size_t>(layout.head_dim);
  const std::size_t width = layout.padded_width();
  float* const query = scratch;
  float* const row = scratch + width;
  std::fill_n(scratch, 2 * width, 0.0f);
  const float* const packed =
      tile.queries + place / kRowGroup * kRowGroup * head_dim + place % kRowGroup;
  for (std::size_t d = 0; d < head_dim; ++d) query[d] = packed[d * kRowGroup];

  float* const sums = tile.sum + place * kLanes;
  float* const output = tile.output + place * width;
  HWY_ALIGN float scores[kChunk];
  for (std::size_t first = 0; first < keys.size(); first += kChunk) {
    const auto chunk = keys.subspan(first, std::min(kChunk, keys.size() - first));
    std::fill_n(scores, kChunk, kMinusInfinity);
    float max = tile.max[place];
    for (std::size_t n = 0; n < chunk.size(); ++n) {
      widen(k.row(chunk[n]), k.dtype(), k.stride(), head_dim, row);
      scores[n] = dot(query, row, width);
      max = std::max(max, scores[n]);
    }
    // As in softmax-inl.hpp: without an allowed key any finite shift gives weights of 0.
    const float shift = max == kMinusInfinity ? 0.0f : max;
    const Vector shrink = exp2(hn::Set(kFloats, tile.max[place] - shift));
    tile.max[place] = max;
    Vector sum = hn::Mul(hn::Load(kFloats, sums), shrink);
    for (std::size_t n = 0; n < kChunk; n += kLanes) {
      const Vector weight = exp2(hn::Sub(hn::Load(kFloats, scores + n), hn::Set(kFloats, shift)));
      hn::Store(weight, kFloats, scores + n);
      sum = hn::Add(sum, weight);
    }
    hn::Store(sum, kFloats, sums);
    for (std::size_t w = 0; w < width; w += kLanes) {
      hn::Store(hn::Mul(shrink, hn::Load(kFloats, output + w)), kFloats, output + w);
    }
    for (std::size_t n = 0; n < chunk.size(); ++n) {
      widen(v.row(chunk[n]), v.dtype(), v.stride(), head_dim, row);
      const Vector weight = hn::Set(kFloats, scores[n]);
      for (std::size_t w = 0; w < width; w += kLanes) {
        hn::Store(hn::MulAdd(weight, hn::Load(kFloats, row + w), hn::Load(kFloats, output + w)),
                  kFloats, output + w);
      }
    }
  }
}

}  // namespace attn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attn::cpu {

HWY_EXPORT(add_keys_of);

void add_keys(const Layout& layout, const RowTile& tile, std::int32_t r, const HeadRows& k,
              const HeadRows& v, std::span<const std::int32_t> keys, float* scratch) {
  HWY_DYNAMIC_DISPATCH(add_keys_of)(layout, tile, r, k, v, keys, scratch);
}

}  // namespace attn::cpu
#endif  // HWY_ONCE

// SPDX-License-Identifier: Apache-2.0
//
// Tensors in the order in which products read them. Included once for every instruction set.
#if defined(ATTN_CPU_PACK_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTN_CPU_PACK_INL_HPP
#undef ATTN_CPU_PACK_INL_HPP
#else
#define ATTN_CPU_PACK_INL_HPP
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu/convert-inl.hpp"
#include "cpu/kernels.hpp"
#include "cpu/matmul-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {

/// Sums of x · 0 tell: 0 is 0 for finite x and NaN for the rest.
HWY_INLINE bool all_finite(const float* HWY_RESTRICT row, std::size_t padded_count) {
  const Vector zero = hn::Zero(kFloats);
  Vector witness = zero;
  for (std::size_t n = 0; n < padded_count; n += kLanes) {
    witness = hn::MulAdd(hn::Load(kFloats, row + n), zero, witness);
  }
  return hn::AllTrue(kFloats, hn::Eq(witness, zero));
}

/// Row n of the right factor's transpose: a column of [vector][d][lane].
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

/// Row n of a left factor: a column of [row group][d][row].
HWY_INLINE void store_column(const float* HWY_RESTRICT row, std::size_t head_dim, std::size_t n,
                             float factor, float* HWY_RESTRICT packed) {
  float* const column = packed + n / kRowGroup * kRowGroup * head_dim + n % kRowGroup;
  for (std::size_t d = 0; d < head_dim; ++d) column[d * kRowGroup] = row[d] * factor;
}

/// Row n of a right factor: a row of every [n][lane] of [width vector][n][lane], `height` rows
/// high. A row that is not finite is stored as zeros, and false comes back.
HWY_INLINE bool store_row(float* HWY_RESTRICT row, const Layout& layout, std::int32_t height,
                          std::size_t n, float* HWY_RESTRICT packed) {
  const std::size_t vector_stride = static_cast<std::size_t>(height) * kLanes;
  const bool sound = all_finite(row, layout.padded_width());
  if (!sound) std::fill_n(row, layout.padded_width(), 0.0f);
  for (std::size_t w = 0; w < layout.width_vectors(); ++w) {
    hn::Store(hn::Load(kFloats, row + w * kLanes), kFloats,
              packed + n * kLanes + w * vector_stride);
  }
  return sound;
}

void pack_values(const Layout& layout, const HeadRows& v, std::int32_t first, std::int32_t count,
                 float* row, float* packed, TileBits& unsound) {
  unsound.fill(0);
  std::fill_n(row, layout.padded_width(), 0.0f);
  for (std::int32_t n = 0; n < count; ++n) {
    widen(v.row(first + n), v.dtype(), v.stride(), static_cast<std::size_t>(layout.head_dim), row);
    if (!store_row(row, layout, layout.block_n, static_cast<std::size_t>(n), packed)) {
      set(unsound, n);
    }
  }
}

}  // namespace attn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle

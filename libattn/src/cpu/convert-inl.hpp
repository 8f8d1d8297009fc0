// SPDX-License-Identifier: Apache-2.0
//
// Rows of any dtype and stride to and from fp32. Included once for every instruction set.
#if defined(ATTN_CPU_CONVERT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTN_CPU_CONVERT_INL_HPP
#undef ATTN_CPU_CONVERT_INL_HPP
#else
#define ATTN_CPU_CONVERT_INL_HPP
#endif

#include <cstdint>
#include <cstring>

#include "attn/tensor.hpp"
#include "cpu/matmul-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {

// Targets whose fp16 conversions are single instructions; the others convert in scalar code.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
inline constexpr bool kConvertsHalf = true;
#else
inline constexpr bool kConvertsHalf = false;
#endif

/// Copies `count` elements to fp32.
inline void widen(const std::byte* source, DType dtype, std::int64_t stride, std::size_t count,
                  float* HWY_RESTRICT out) {
  if (dtype == DType::f32) {
    const float* const from = reinterpret_cast<const float*>(source);
    if (stride == 1) {
      std::memcpy(out, from, count * sizeof(float));
    } else {
      for (std::size_t n = 0; n < count; ++n) out[n] = from[static_cast<std::int64_t>(n) * stride];
    }
    return;
  }
  const auto* const from = reinterpret_cast<const std::uint16_t*>(source);
  std::size_t done = 0;
  if (stride == 1 && (dtype == DType::bf16 || kConvertsHalf)) {
    const hn::Rebind<std::uint16_t, Floats> shorts;
    const hn::Rebind<std::uint32_t, Floats> words;
    for (; done + kLanes <= count; done += kLanes) {
      const auto bits = hn::LoadU(shorts, from + done);
      if (dtype == DType::bf16) {
        const auto wide = hn::ShiftLeft<16>(hn::PromoteTo(words, bits));
        hn::StoreU(hn::BitCast(kFloats, wide), kFloats, out + done);
      } else if constexpr (kConvertsHalf) {
        const hn::Rebind<hwy::float16_t, Floats> halves;
        hn::StoreU(hn::PromoteTo(kFloats, hn::BitCast(halves, bits)), kFloats, out + done);
      }
    }
  }
  for (; done < count; ++done) {
    const std::uint16_t bits = from[static_cast<std::int64_t>(done) * stride];
    out[done] = dtype == DType::bf16 ? bfloat16_to_float(bits) : half_to_float(bits);
  }
}

/// Copies `count` finite fp32 elements to `dtype`, rounding to nearest even.
inline void narrow(const float* HWY_RESTRICT source, std::size_t count, DType dtype,
                   std::int64_t stride, std::byte* out) {
  if (dtype == DType::f32) {
    float* const to = reinterpret_cast<float*>(out);
    if (stride == 1) {
      std::memcpy(to, source, count * sizeof(float));
    } else {
      for (std::size_t n = 0; n < count; ++n) to[static_cast<std::int64_t>(n) * stride] = source[n];
    }
    return;
  }
  auto* const to = reinterpret_cast<std::uint16_t*>(out);
  std::size_t done = 0;
  if (stride == 1 && (dtype == DType::bf16 || kConvertsHalf)) {
    const hn::Rebind<std::uint16_t, Floats> shorts;
    const hn::Rebind<std::int32_t, Floats> words;
    for (; done + kLanes <= count; done += kLanes) {
      const Vector value = hn::LoadU(kFloats, source + done);
      if (dtype == DType::bf16) {
        const hn::Rebind<std::uint32_t, Floats> unsigned_words;
        const auto bits = hn::BitCast(unsigned_words, value);
        const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(unsigned_words, 1));
        const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(unsigned_words, 0x7fff)));
        const auto high = hn::BitCast(words, hn::ShiftRight<16>(rounded));
        hn::StoreU(hn::DemoteTo(shorts, high), shorts, to + done);
      } else if constexpr (kConvertsHalf) {
        const hn::Rebind<hwy::float16_t, Floats> halves;
        hn::StoreU(hn::BitCast(shorts, hn::DemoteTo(halves, value)), shorts, to + done);
      }
    }
  }
  for (; done < count; ++done) {
    to[static_cast<std::int64_t>(done) * stride] =
        dtype == DType::bf16 ? float_to_bfloat16(source[done]) : float_to_half(source[done]);
  }
}

}  // namespace attn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle

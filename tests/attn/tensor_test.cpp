// SPDX-License-Identifier: Apache-2.0
#include "attn/tensor.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace attn {
namespace {

/// Every 16-bit pattern survives the way to float and back; NaN stays a NaN.
template <class Widen, class Narrow>
void expect_round_trip(Widen widen, Narrow narrow) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = widen(static_cast<std::uint16_t>(bits));
    const std::uint16_t back = narrow(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(widen(back))) << bits;
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

TEST(Half, RoundTrips) {
  expect_round_trip(half_to_float, float_to_half);
}
TEST(BFloat16, RoundTrips) {
  expect_round_trip(bfloat16_to_float, float_to_bfloat16);
}

TEST(Half, KnownValues) {
  EXPECT_EQ(half_to_float(0x3c00), 1.0f);
  EXPECT_EQ(half_to_float(0xc000), -2.0f);
  EXPECT_EQ(half_to_float(0x7bff), 65504.0f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(half_to_float(0x03ff), 1023 * 0x1p-24f);
  EXPECT_EQ(half_to_float(0x0400), 0x1p-14f);
  EXPECT_EQ(half_to_float(0xfc00), -std::numeric_limits<float>::infinity());
}

/// Between neighbours a and b of the narrow format: below the middle goes to a, above it to b, the
/// middle to the even one of them.
template <class Widen, class Narrow>
void expect_nearest_even(Widen widen, Narrow narrow, std::uint16_t last_finite) {
  for (std::uint16_t a = 0; a < last_finite; ++a) {
    const auto b = static_cast<std::uint16_t>(a + 1);
    const float middle = (widen(a) + widen(b)) / 2;
    ASSERT_EQ(narrow(middle), a % 2 == 0 ? a : b) << a;
    ASSERT_EQ(narrow(std::nextafter(middle, 0.0f)), a) << a;
    ASSERT_EQ(narrow(std::nextafter(middle, std::numeric_limits<float>::infinity())), b) << a;
    ASSERT_EQ(narrow(-middle), (a % 2 == 0 ? a : b) | 0x8000) << a;
  }
}

TEST(Half, RoundsToNearestEven) {
  expect_nearest_even(half_to_float, float_to_half, 0x7bff);
}
TEST(BFloat16, RoundsToNearestEven) {
  // From the first pattern whose neighbours' middle is a normal float.
  for (std::uint16_t a = 0x0080; a < 0x7f7f; ++a) {
    const auto b = static_cast<std::uint16_t>(a + 1);
    const float middle = std::bit_cast<float>((static_cast<std::uint32_t>(a) << 16) + 0x8000);
    ASSERT_EQ(float_to_bfloat16(middle), a % 2 == 0 ? a : b) << a;
    ASSERT_EQ(float_to_bfloat16(std::nextafter(middle, 0.0f)), a) << a;
    ASSERT_EQ(float_to_bfloat16(std::nextafter(middle, std::numeric_limits<float>::infinity())), b)
        << a;
  }
}

TEST(Half, Overflows) {
  EXPECT_EQ(float_to_half(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(-1e30f), 0xfc00);
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);
  EXPECT_EQ(float_to_half(-0.0f), 0x8000);
}

TEST(TensorView, ContiguousStrides) {
  const TensorView view = contiguous(nullptr, DType::bf16, {2, 3, 4, 5});
  EXPECT_EQ(view.strides, (std::array<std::int64_t, 4>{60, 20, 5, 1}));
  EXPECT_EQ(view.elements(), 120);
  EXPECT_EQ(size_of(view.dtype), 2u);
  EXPECT_EQ(to_string(view.dtype), "bf16");
}

}  // namespace
}  // namespace attn

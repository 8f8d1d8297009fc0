// SPDX-License-Identifier: Apache-2.0
#include "random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "portable_math.hpp"

namespace masks {
namespace {

TEST(SplitMix64, GivesThePublishedNumbers) {
  SplitMix64 random(1234567);
  EXPECT_EQ(random(), 6457827717110365317U);
  EXPECT_EQ(random(), 3203168211198807973U);
  EXPECT_EQ(random(), 9817491932198370423U);
  EXPECT_EQ(random(), 4593380528125082431U);
}

TEST(Xoshiro256, GivesThePublishedNumbers) {
  Xoshiro256 random({1, 2, 3, 4});
  EXPECT_EQ(random(), 11520U);
  EXPECT_EQ(random(), 0U);
  EXPECT_EQ(random(), 1509978240U);
  EXPECT_EQ(random(), 1215971899390074240U);
  EXPECT_EQ(random(), 1216172134540287360U);
  EXPECT_EQ(random(), 607988272756665600U);
}

TEST(Random, SeedsAndStreamsDiffer) {
  std::set<std::uint64_t> first_numbers;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    for (std::uint64_t stream = 0; stream < 50; ++stream) {
      first_numbers.insert(Random(seed, stream).bits());
    }
  }
  EXPECT_EQ(first_numbers.size(), 2500U);
}

TEST(Random, BelowIsUniform) {
  Random random(1);
  std::vector<int> counts(7, 0);
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) ++counts[random.below(7)];
  // Five standard deviations of a binomial count around its mean.
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 7, 5 * 93);
}

TEST(Random, BelowHasNoBiasNearTheTop) {
  // 2^31 + 2^30: a plain multiplication would give the lower third of each range twice as often.
  Random random(2);
  constexpr std::uint32_t kBound = 3U << 30;
  int even = 0;
  constexpr int kDraws = 40000;
  for (int i = 0; i < kDraws; ++i) even += random.below(kBound) % 3 == 0;
  EXPECT_NEAR(even, kDraws / 3, 5 * 95);
}

TEST(Random, UniformHasMeanAndVariance) {
  Random random(3);
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 0.005);
}

TEST(Random, NormalAndExponentialHaveTheirMoments) {
  Random random(4);
  double normal = 0;
  double normal2 = 0;
  double normal4 = 0;
  double exponential = 0;
  double exponential2 = 0;
  constexpr int kDraws = 200000;
  for (int i = 0; i < kDraws; ++i) {
    const double z = random.normal();
    const double e = random.exponential();
    normal += z;
    normal2 += z * z;
    normal4 += z * z * z * z;
    exponential += e;
    exponential2 += e * e;
  }
  EXPECT_NEAR(normal / kDraws, 0, 0.012);
  EXPECT_NEAR(normal2 / kDraws, 1, 0.016);
  EXPECT_NEAR(normal4 / kDraws, 3, 0.11);
  EXPECT_NEAR(exponential / kDraws, 1, 0.012);
  EXPECT_NEAR(exponential2 / kDraws, 2, 0.05);
}

TEST(Random, PermutationHoldsEachIndexOnce) {
  for (const std::int32_t size : {0, 1, 2, 100}) {
    const auto order = Random(5).permutation(size);
    const std::set<std::int32_t> indices(order.begin(), order.end());
    ASSERT_EQ(static_cast<std::int32_t>(indices.size()), size);
    if (size > 0) {
      EXPECT_EQ(*indices.begin(), 0);
      EXPECT_EQ(*indices.rbegin(), size - 1);
    }
  }
}

TEST(DrawDistinct, EverySizeOfSetIsSortedAndWithoutRepetition) {
  Random random(6);
  std::vector<std::int32_t> indices;
  for (std::int32_t count = 0; count <= 20; ++count) {
    draw_distinct(random, count, 20, indices);
    ASSERT_EQ(static_cast<std::int32_t>(indices.size()), count);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      EXPECT_GE(indices[i], i == 0 ? 0 : indices[i - 1] + 1);
      EXPECT_LT(indices[i], 20);
    }
  }
}

TEST(DrawDistinct, EachPairIsEquallyLikely) {
  Random random(7);
  std::vector<std::int32_t> pair;
  std::vector<int> counts(25, 0);
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    draw_distinct(random, 2, 5, pair);
    ++counts[static_cast<std::size_t>(5 * pair[0] + pair[1])];
  }
  for (std::int32_t a = 0; a < 5; ++a) {
    for (std::int32_t b = a + 1; b < 5; ++b) {
      EXPECT_NEAR(counts[static_cast<std::size_t>(5 * a + b)], kDraws / 10, 5 * 43)
          << "pair " << a << ", " << b;
    }
  }
}

TEST(RarePlaces, EachPlaceIsHitWithTheProbability) {
  Random random(8);
  for (const double probability : {0.01, 0.3, 0.9}) {
    std::vector<int> counts(10, 0);
    constexpr int kRounds = 20000;
    const RarePlaces places(probability, 10);
    for (int round = 0; round < kRounds; ++round) {
      places.draw(random, [&](std::int64_t place) { ++counts[static_cast<std::size_t>(place)]; });
    }
    const double deviation = std::sqrt(kRounds * probability * (1 - probability));
    for (const int count : counts) EXPECT_NEAR(count, kRounds * probability, 5 * deviation);
  }
}

TEST(RarePlaces, NeverAndAlways) {
  Random random(9);
  int hits = 0;
  RarePlaces(0, 1000).draw(random, [&](std::int64_t) { ++hits; });
  EXPECT_EQ(hits, 0);
  RarePlaces(1, 1000).draw(random, [&](std::int64_t) { ++hits; });
  EXPECT_EQ(hits, 1000);
  RarePlaces(0.5, 0).draw(random, [&](std::int64_t) { ++hits; });
  EXPECT_EQ(hits, 1000);
}

TEST(RarePlaces, TinyProbabilitiesDoNotOverflow) {
  Random random(10);
  int hits = 0;
  RarePlaces(1e-300, INT64_MAX).draw(random, [&](std::int64_t) { ++hits; });
  EXPECT_EQ(hits, 0);
}

/// Distance in units in the last place of the expected value.
double ulps(double actual, double expected) {
  const double unit = std::abs(std::nextafter(expected, INFINITY) - expected);
  return std::abs(actual - expected) / unit;
}

TEST(PortableMath, IsAccurate) {
  Random random(11);
  for (int i = 0; i < 20000; ++i) {
    const double wide = std::ldexp(random.uniform(1, 2), static_cast<int>(random.below(600)) - 300);
    EXPECT_LE(ulps(portable_log(wide), std::log(wide)), 3) << wide;
    const double near_one = random.uniform(0.5, 2);
    EXPECT_LE(ulps(portable_log(near_one), std::log(near_one)), 3) << near_one;
    const double small = random.uniform(-0.9, 0.9);
    EXPECT_LE(ulps(portable_log1p(small), std::log1p(small)), 4) << small;
    const double exponent = random.uniform(-300, 300);
    EXPECT_LE(ulps(portable_exp(exponent), std::exp(exponent)), 3) << exponent;
  }
}

TEST(PortableMath, HasItsEdges) {
  EXPECT_EQ(portable_log(1), 0);
  EXPECT_EQ(portable_log1p(0), 0);
  EXPECT_EQ(portable_exp(0), 1);
  EXPECT_EQ(portable_exp(1e9), std::numeric_limits<double>::infinity());
  EXPECT_EQ(portable_exp(-1e9), 0);
  EXPECT_LE(ulps(portable_log1p(-1e-18), -1e-18), 1);
}

}  // namespace
}  // namespace masks

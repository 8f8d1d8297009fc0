// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace masks {

// The masks' own source of randomness, the same on every platform and in every release. The
// standard library fixes its engines but not its distributions, and libm's last bits differ from
// system to system, so both are ours: integers by multiplication and rejection, reals from 53 bits,
// and logarithms and exponentials from portable_math.hpp.

/// Spreads a 64-bit seed. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014.
class SplitMix64 {
 public:
  explicit constexpr SplitMix64(std::uint64_t seed) noexcept : state_(seed) {}

  constexpr std::uint64_t operator()() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

/// The xoshiro256** generator. Source: Blackman, Vigna, "Scrambled linear pseudorandom number
/// generators", 2021.
class Xoshiro256 {
 public:
  explicit constexpr Xoshiro256(std::array<std::uint64_t, 4> state) noexcept : s_(state) {}

  constexpr std::uint64_t operator()() noexcept {
    const std::uint64_t result = rotate(s_[1] * 5, 7) * 9;
    const std::uint64_t shifted = s_[1] << 17;
    s_[2] ^= s_[0];
    s_[3] ^= s_[1];
    s_[1] ^= s_[2];
    s_[0] ^= s_[3];
    s_[2] ^= shifted;
    s_[3] = rotate(s_[3], 45);
    return result;
  }

 private:
  static constexpr std::uint64_t rotate(std::uint64_t x, int by) noexcept {
    return (x << by) | (x >> (64 - by));
  }
  std::array<std::uint64_t, 4> s_;
};

/// Random numbers of one seed and one stream. Streams let a generator draw a row again, alone, in
/// any order: row i takes stream i.
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) noexcept;

  /// 64 fair bits.
  std::uint64_t bits() noexcept { return engine_(); }

  /// Uniform in [0, bound), bound > 0, without bias. Source: Lemire, "Fast random integer
  /// generation in an interval", 2019.
  std::uint32_t below(std::uint32_t bound) noexcept {
    std::uint64_t product = (bits() >> 32) * bound;
    if (static_cast<std::uint32_t>(product) < bound) {
      const std::uint32_t biased = (0U - bound) % bound;
      while (static_cast<std::uint32_t>(product) < biased) product = (bits() >> 32) * bound;
    }
    return static_cast<std::uint32_t>(product >> 32);
  }

  /// Uniform among the indices [0, bound), bound > 0.
  std::int32_t index(std::int64_t bound) noexcept {
    return static_cast<std::int32_t>(below(static_cast<std::uint32_t>(bound)));
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }

  /// Uniform in [low, high).
  double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }

  /// Standard normal, by Marsaglia's polar method.
  double normal() noexcept;

  /// Exponential of mean 1.
  double exponential() noexcept;

  /// A random order of 0 ... size-1, by Fisher and Yates.
  std::vector<std::int32_t> permutation(std::int32_t size);

 private:
  Xoshiro256 engine_;
};

/// `count` different indices of [0, bound) in increasing order, each set equally likely.
/// 0 <= count <= bound; `indices` is overwritten.
void draw_distinct(Random& random, std::int32_t count, std::int32_t bound,
                   std::vector<std::int32_t>& indices);

/// The places of [0, size) at which an event of this probability happens, each on its own. Goes
/// from event to event, so that the time depends on the events and not on the size.
class RarePlaces {
 public:
  RarePlaces(double probability, std::int64_t size) noexcept;

  /// Calls visit(place) for each, in increasing order.
  template <class Visit>
  void draw(Random& random, Visit&& visit) const {
    for (std::int64_t place = gap(random); place < size_; place += 1 + gap(random)) visit(place);
  }

 private:
  [[nodiscard]] std::int64_t gap(Random& random) const noexcept;

  double inverse_log_miss_;  ///< 1 / log(1 - probability); 0 when every place is hit
  std::int64_t size_;        ///< 0 when no place can be hit
};

}  // namespace masks

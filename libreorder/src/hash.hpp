// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace reorder {

/// Spreads an index over 64 bits; sums of such values identify sets. The finalizer of SplitMix64;
/// source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
[[nodiscard]] constexpr std::uint64_t hash_index(std::uint64_t index, std::uint64_t salt = 0) {
  std::uint64_t z = (index + 1) * 0x9e3779b97f4a7c15 + salt;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
//
// Orders of rows, new_to_old, as the tests plant them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <vector>

namespace attn::test {

inline std::vector<std::int32_t> natural(std::int32_t n) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

inline std::vector<std::int32_t> shuffled(std::int32_t n, std::uint64_t seed) {
  std::vector<std::int32_t> order = natural(n);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

/// The first `globals` rows, then those of the others that leave the same remainder, remainder by
/// remainder from the largest down: how a dilated window with globals is reordered.
inline std::vector<std::int32_t> residue_classes(std::int32_t n, std::int32_t stride,
                                                 std::int32_t globals = 0) {
  std::vector<std::int32_t> order = natural(std::min(n, globals));
  for (std::int32_t r = stride - 1; r >= 0; --r) {
    for (std::int32_t i = r; i < n; i += stride) {
      if (i >= globals) order.push_back(i);
    }
  }
  return order;
}

/// Where each row went.
inline std::vector<std::int32_t> places(std::span<const std::int32_t> order) {
  std::vector<std::int32_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
  }
  return place;
}

}  // namespace attn::test

// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/cuts.hpp"

#include <algorithm>

namespace attn::hopper {

Cuts cut_long_items(std::span<const std::int32_t> lengths, std::int64_t total,
                    int multiprocessors) {
  Cuts cuts{};
  if (lengths.empty()) return cuts;
  const std::int64_t mean = total / static_cast<std::int64_t>(lengths.size());
  std::int64_t longest = std::max({std::int64_t{kShortestCut}, 4 * mean, total / multiprocessors});
  for (std::int32_t& items : cuts.items) {
    const auto end = std::partition_point(lengths.begin(), lengths.end(),
                                          [longest](std::int32_t n) { return n > longest; });
    items = static_cast<std::int32_t>(end - lengths.begin());
    longest *= 2;
  }
  return cuts;
}

std::int32_t longest_part(const Cuts& cuts, std::span<const std::int32_t> lengths) {
  std::int32_t longest = 0;
  for (int halvings = 0; halvings <= Cuts::kMostHalvings; ++halvings) {
    // The longest of those halved so often.
    const std::int32_t item =
        halvings == Cuts::kMostHalvings ? 0 : cuts.items[static_cast<std::size_t>(halvings)];
    if (item == static_cast<std::int32_t>(lengths.size())) continue;
    const std::int32_t length = lengths[static_cast<std::size_t>(item)];
    longest = std::max(longest, (length + (1 << halvings) - 1) >> halvings);
  }
  return longest;
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
#include "random.hpp"

#include <cmath>

#include "portable_math.hpp"

namespace masks {
namespace {

std::array<std::uint64_t, 4> seeded_state(std::uint64_t seed, std::uint64_t stream) noexcept {
  SplitMix64 mix(SplitMix64(seed)() + stream);
  return {mix(), mix(), mix(), mix()};
}

}  // namespace

Random::Random(std::uint64_t seed, std::uint64_t stream) noexcept
    : engine_(seeded_state(seed, stream)) {}

double Random::normal() noexcept {
  for (;;) {
    const double x = uniform(-1, 1);
    const double y = uniform(-1, 1);
    const double square = x * x + y * y;
    // The pair's second number is thrown away: no state besides the engine's.
    if (square > 0 && square < 1) return x * std::sqrt(-2 * portable_log(square) / square);
  }
}

double Random::exponential() noexcept {
  return -portable_log(1 - uniform());
}

std::vector<std::int32_t> Random::permutation(std::int32_t size) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[below(static_cast<std::uint32_t>(i))]);
  }
  return order;
}

void draw_distinct(Random& random, std::int32_t count, std::int32_t bound,
                   std::vector<std::int32_t>& indices) {
  // Drawing on until enough different indices are there is fast as long as most are free; for more
  // than half of all, those left out are drawn.
  if (count > bound / 2) {
    std::vector<std::int32_t> absent;
    draw_distinct(random, bound - count, bound, absent);
    indices.clear();
    auto next_absent = absent.begin();
    for (std::int32_t i = 0; i < bound; ++i) {
      if (next_absent != absent.end() && *next_absent == i) {
        ++next_absent;
      } else {
        indices.push_back(i);
      }
    }
    return;
  }
  indices.clear();
  while (indices.size() < static_cast<std::size_t>(count)) {
    while (indices.size() < static_cast<std::size_t>(count)) indices.push_back(random.index(bound));
    std::sort(indices.begin(), indices.end());
    indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  }
}

RarePlaces::RarePlaces(double probability, std::int64_t size) noexcept
    : inverse_log_miss_(probability < 1 ? 1 / portable_log1p(-probability) : 0),
      size_(probability > 0 ? size : 0) {}

std::int64_t RarePlaces::gap(Random& random) const noexcept {
  const double gap = portable_log(1 - random.uniform()) * inverse_log_miss_;
  return gap < static_cast<double>(size_) ? static_cast<std::int64_t>(gap) : size_;
}

}  // namespace masks

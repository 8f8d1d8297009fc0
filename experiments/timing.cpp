// SPDX-License-Identifier: Apache-2.0
#include "experiments/timing.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>
#include <numeric>

namespace experiments {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The q-quantile of sorted values, interpolated between its two neighbours.
double quantile(std::span<const double> sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(place));
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - std::floor(place));
}

bool enough(int rounds, double elapsed, const Repeats& repeats) {
  return rounds >= repeats.minimum && (rounds >= repeats.maximum || elapsed >= repeats.seconds);
}

}  // namespace

Timing summarize(std::vector<double> seconds) {
  assert(!seconds.empty());
  std::sort(seconds.begin(), seconds.end());
  const auto ms = [&](double q) { return 1e3 * quantile(seconds, q); };
  return {ms(0.5), ms(0.25), ms(0.75), 1e3 * seconds.front(), static_cast<int>(seconds.size())};
}

Repeats one_off(Repeats repeats) {
  repeats.maximum = std::min(repeats.maximum, repeats.minimum);
  repeats.minimum = 1;
  return repeats;
}

double stopwatch(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return since(start);
}

std::vector<std::vector<double>> interleave(std::span<const std::function<double()>> arms,
                                            const Repeats& repeats) {
  for (const auto& arm : arms) (void)arm();
  std::vector<std::vector<double>> samples(arms.size());
  const auto start = Clock::now();
  for (int round = 0; !enough(round, since(start), repeats); ++round) {
    for (std::size_t i = 0; i < arms.size(); ++i) samples[i].push_back(arms[i]());
  }
  return samples;
}

Timing repeat(const std::function<double()>& arm, const Repeats& repeats,
              std::vector<double> first) {
  double elapsed = std::accumulate(first.begin(), first.end(), 0.0);
  while (!enough(static_cast<int>(first.size()), elapsed, repeats)) {
    const auto start = Clock::now();
    first.push_back(arm());
    elapsed += since(start);
  }
  return summarize(std::move(first));
}

}  // namespace experiments

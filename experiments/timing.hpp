// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "experiments/fields.hpp"

namespace experiments {

/// The distribution of repeated timings, in milliseconds. Quartiles, not a mean and a deviation:
/// timings have a hard floor and a long tail.
struct Timing {
  double median = 0;
  double q1 = 0;
  double q3 = 0;
  double min = 0;
  int samples = 0;
};

template <class T, class Visit>
requires Is<T, Timing>
void fields(T& t, Visit&& visit) {
  visit("median", t.median);
  visit("q1", t.q1);
  visit("q3", t.q3);
  visit("min", t.min);
  visit("samples", t.samples);
}

/// Of samples in seconds, which must not be empty. Quantiles are interpolated linearly.
[[nodiscard]] Timing summarize(std::vector<double> seconds);

/// When to stop repeating: never below `minimum` rounds; from there on once `seconds` have passed
/// or `maximum` rounds are done.
struct Repeats {
  int minimum = 5;
  int maximum = 100;
  double seconds = 0.2;
};

/// How often what is paid for once is repeated: a slow ordering not for minutes, because its spread
/// is small beside its size.
[[nodiscard]] Repeats one_off(Repeats repeats);

/// Seconds that `work` takes once.
[[nodiscard]] double stopwatch(const std::function<void()>& work);

/// Runs the arms in turn, round after round, so that a drift of the machine meets all of them
/// alike; the first round warms up and is not kept. Each arm runs once and returns the seconds
/// that count; the result has the samples of each arm.
[[nodiscard]] std::vector<std::vector<double>> interleave(
    std::span<const std::function<double()>> arms, const Repeats& repeats);

/// One arm alone, without a warm-up round: what is built once is paid for cold. `first` are samples
/// there are already.
[[nodiscard]] Timing repeat(const std::function<double()>& arm, const Repeats& repeats,
                            std::vector<double> first = {});

/// What the first of several runs made, and how long they took.
template <class T>
struct Timed {
  T value;
  Timing ms;
};

/// Makes something that is paid for once.
template <class Make>
[[nodiscard]] auto timed_once(const Repeats& repeats, Make&& make) {
  using T = decltype(make());
  std::optional<T> value;
  const double first = stopwatch([&] { value = make(); });
  const auto again = [&] { return stopwatch([&] { (void)make(); }); };
  Timing ms = repeat(again, one_off(repeats), {first});
  return Timed<T>{*std::move(value), ms};
}

}  // namespace experiments

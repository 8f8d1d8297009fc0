// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "experiments/record.hpp"

namespace experiments {

/// Seconds of each timed round, natural and reordered one after the other in a round.
struct CallSamples {
  std::vector<double> natural;
  std::vector<double> fused;     ///< empty where it was not run
  std::vector<double> gathered;  ///< gather + attention + scatter; empty where it was not run
};

/// Fills in the fastest way to run the reordered mask, what a call then takes and saves, and after
/// how many calls reordering has paid:
///
///     once  = ordering + permute + (build + prepare) permuted − (build + prepare) natural
///     calls = max(1, ⌈once / saved⌉)
///
/// in medians. The natural order needs a mask built and prepared as well, so only the difference
/// counts. What is saved is the median over the rounds of natural − reordered: both are timed in
/// the same round, so a drift of the machine falls out. It counts as a saving only when at least
/// three rounds in four saved something; otherwise `calls` is absent. Expects `record.ms` and
/// `record.ordering`.
void set_break_even(Record& record, const CallSamples& samples);

}  // namespace experiments

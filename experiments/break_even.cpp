// SPDX-License-Identifier: Apache-2.0
#include "experiments/break_even.hpp"

#include <algorithm>
#include <cmath>

namespace experiments {

void set_break_even(Record& record) {
  record.best_path = "natural";
  record.permuted_call_ms.reset();
  record.break_even_calls.reset();
  if (!record.ms || !record.ordering.reordered) return;
  const Times& t = *record.ms;
  const auto consider = [&](const char* path, double call) {
    if (!record.permuted_call_ms || call < *record.permuted_call_ms) {
      record.permuted_call_ms = call;
      record.best_path = path;
    }
  };
  if (t.fused) consider("fused", t.fused->median);
  if (t.gather && t.permuted && t.scatter) {
    consider("gathered", t.gather->median + t.permuted->median + t.scatter->median);
  }
  if (!record.permuted_call_ms) return;

  const auto median = [](const std::optional<Timing>& timing) {
    return timing ? timing->median : 0.0;
  };
  const double once = t.ordering.median + median(t.permute) + median(t.build_permuted) +
                      median(t.prepare_permuted) - t.build_natural.median -
                      t.prepare_natural.median;
  const double saved = t.natural.median - *record.permuted_call_ms;
  if (saved > 0) {
    record.break_even_calls = std::max<std::int64_t>(1, std::llround(std::ceil(once / saved)));
  }
}

}  // namespace experiments

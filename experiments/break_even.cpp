// SPDX-License-Identifier: Apache-2.0
#include "experiments/break_even.hpp"

#include <algorithm>
#include <cmath>

namespace experiments {

void set_break_even(Record& record, const CallSamples& samples) {
  record.best_path = "natural";
  record.permuted_call_ms.reset();
  record.saved_ms.reset();
  record.break_even_calls.reset();
  if (!record.ms || (!record.ordering.reordered && !record.form)) return;

  const std::vector<double>* best = nullptr;
  const auto consider = [&](const char* path, const std::vector<double>& seconds) {
    if (seconds.empty()) return;
    const double call = summarize(seconds).median;
    if (record.permuted_call_ms && *record.permuted_call_ms <= call) return;
    record.permuted_call_ms = call;
    record.best_path = path;
    best = &seconds;
  };
  consider("fused", samples.fused);
  consider("gathered", samples.gathered);
  if (best == nullptr) return;

  std::vector<double> saved;
  for (std::size_t i = 0; i < best->size(); ++i) saved.push_back(samples.natural[i] - (*best)[i]);
  record.saved_ms = summarize(std::move(saved));
  if (record.saved_ms->q1 <= 0) return;

  const Times& t = *record.ms;
  const auto median = [](const std::optional<Timing>& timing) {
    return timing ? timing->median : 0.0;
  };
  const double once = t.ordering.median + median(t.permute) + median(t.build_permuted) +
                      median(t.prepare_permuted) - t.build_natural.median -
                      t.prepare_natural.median;
  record.break_even_calls =
      std::max<std::int64_t>(1, std::llround(std::ceil(once / record.saved_ms->median)));
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
//
// Orders a shuffled path with libreorder alone and checks that the tiles lie on the diagonal.
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/objective.hpp"
#include "reorder/pipeline.hpp"

int main() {
  // The path 0-1-...-63 under the labels 37·i mod 64.
  std::vector<std::pair<std::int32_t, std::int32_t>> entries;
  const auto label = [](std::int32_t i) { return i * 37 % 64; };
  for (std::int32_t i = 0; i < 64; ++i) {
    entries.emplace_back(label(i), label(i));
    if (i > 0) {
      entries.emplace_back(label(i), label(i - 1));
      entries.emplace_back(label(i - 1), label(i));
    }
  }
  const auto mask = reorder::Csr::from_entries(64, 64, entries);
  const auto registry = reorder::Registry::with_builtins();
  const auto pipeline = reorder::Pipeline::parse("rcm", registry);
  const auto result =
      pipeline.run(mask, {.objective = reorder::Objective::tiles({.rows = 8, .cols = 8})});
  std::printf("%lld -> %lld tiles of 8x8\n", static_cast<long long>(result.report.before.nonempty),
              static_cast<long long>(result.report.after.nonempty));
  return result.report.after.nonempty == 8 + 2 * 7 ? 0 : 1;
}

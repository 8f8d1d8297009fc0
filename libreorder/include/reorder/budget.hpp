// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace reorder {

/// Entries and prices that one core of a 2020s server looks at in a second while it orders masks.
/// `blockfill calibrate` measures the machine at hand.
inline constexpr double kWorkPerSecond = 2.5e8;

/// How much a strategy that chooses among several may spend. Work decides its answer, time does
/// not: the same work and seed give the same answer on any machine and any number of threads,
/// unless the guard fires.
struct Budget {
  std::int64_t work = 0;  ///< entries and prices looked at; 0: what the strategy takes by default

  /// Wall-clock seconds after which what is left is cut and the report says so; 0: never.
  double guard_seconds = 0;

  /// What a machine does in this time, and a guard at twice the time.
  [[nodiscard]] static Budget of_seconds(double seconds, double work_per_second = kWorkPerSecond);

  friend bool operator==(const Budget&, const Budget&) = default;
};

/// "0.3s" or "5s": what a machine of this rate does in the time, with a guard. "work:1250000000":
/// just that. Throws Error{syntax} for other text and Error{invalid_argument} for a number out of
/// range.
[[nodiscard]] Budget parse_budget(std::string_view text, double work_per_second = kWorkPerSecond);

}  // namespace reorder

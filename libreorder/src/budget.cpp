// SPDX-License-Identifier: Apache-2.0
#include "reorder/budget.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "reorder/error.hpp"

namespace reorder {
namespace {

constexpr double kMostSeconds = 1e6;
constexpr double kPatience = 2;  // times the seconds asked for: a slow or a busy machine

/// A number that is all of `text`. Throws Error{syntax} in the name of the whole budget.
template <typename Number>
Number all_of(std::string_view text, std::string_view whole) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    throw Error(ErrorCode::invalid_argument,
                "the budget '" + std::string(whole) + "' holds a number too large to read");
  }
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw Error(ErrorCode::syntax, "'" + std::string(whole) +
                                       "' is no budget; write seconds as 5s or 0.3s, or work as "
                                       "work:1250000000");
  }
  return value;
}

}  // namespace

Budget Budget::of_seconds(double seconds, double work_per_second) {
  // 2⁶² is out of reach of any budget and a double holds it exactly.
  const double work = std::min(std::ceil(seconds * work_per_second), 0x1p62);
  return {.work = std::max<std::int64_t>(static_cast<std::int64_t>(work), 1),
          .guard_seconds = kPatience * seconds};
}

Budget parse_budget(std::string_view text, double work_per_second) {
  constexpr std::string_view kWork = "work:";
  if (text.starts_with(kWork)) {
    const auto work = all_of<std::int64_t>(text.substr(kWork.size()), text);
    if (work < 1) {
      throw Error(ErrorCode::invalid_argument,
                  "the budget '" + std::string(text) + "' must be at least work:1");
    }
    return {.work = work};
  }
  if (!text.ends_with('s')) (void)all_of<double>("", text);
  const auto seconds = all_of<double>(text.substr(0, text.size() - 1), text);
  // A NaN compares false.
  if (!(seconds > 0 && seconds <= kMostSeconds)) {
    throw Error(ErrorCode::invalid_argument,
                "the budget '" + std::string(text) + "' must be above 0s and at most 1000000s");
  }
  return Budget::of_seconds(seconds, work_per_second);
}

}  // namespace reorder

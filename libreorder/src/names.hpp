// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace reorder {

/// The one combinator; it is part of the pipeline language, not a strategy.
inline constexpr const char* kBestOf = "best_of";

/// [a-z][a-z0-9_]*
[[nodiscard]] constexpr bool is_name(std::string_view text) {
  if (text.empty() || text[0] < 'a' || text[0] > 'z') return false;
  for (const char c : text) {
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_') return false;
  }
  return true;
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace reorder {

/// Whether the columns of a row follow each other without a gap. Full masks, windows and documents
/// have such rows alone, and hundreds of millions of entries.
[[nodiscard]] inline bool is_run(std::span<const std::int32_t> row) {
  return !row.empty() && row.back() - row.front() == static_cast<std::int32_t>(row.size()) - 1;
}

}  // namespace reorder

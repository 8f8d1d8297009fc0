// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace reorder {

/// The members of each class, ascending, from the class of each member. O(members + classes).
class Members {
 public:
  Members(std::span<const std::int32_t> class_of, std::size_t n_classes)
      : offsets_(n_classes + 1), list_(class_of.size()) {
    for (const std::int32_t k : class_of) ++offsets_[static_cast<std::size_t>(k) + 1];
    for (std::size_t k = 1; k <= n_classes; ++k) offsets_[k] += offsets_[k - 1];
    std::vector<std::size_t> next(offsets_.begin(), offsets_.end() - 1);
    for (std::size_t i = 0; i < class_of.size(); ++i) {
      list_[next[static_cast<std::size_t>(class_of[i])]++] = static_cast<std::int32_t>(i);
    }
  }

  [[nodiscard]] std::span<const std::int32_t> of(std::int32_t k) const {
    const auto i = static_cast<std::size_t>(k);
    return std::span(list_).subspan(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }

  /// All members, class by class.
  [[nodiscard]] const std::vector<std::int32_t>& list() const { return list_; }

 private:
  std::vector<std::size_t> offsets_;
  std::vector<std::int32_t> list_;
};

}  // namespace reorder

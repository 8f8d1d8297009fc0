// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "attn/block_mask.hpp"

namespace attn {

/// The lists by key tile of every mask that a BlockMask holds, made once.
class TransposedMask {
 public:
  explicit TransposedMask(const BlockMask& mask);

  /// As BlockMask::lists: a shared mask answers for every b and h.
  [[nodiscard]] const TransposedLists& lists(std::int64_t b, std::int64_t h) const noexcept {
    return lists_[static_cast<std::size_t>((batch_ == 1 ? 0 : b) * heads_ + (heads_ == 1 ? 0 : h))];
  }

 private:
  std::int64_t batch_;
  std::int64_t heads_;
  std::vector<TransposedLists> lists_;
};

/// Replaces `keys` by those that query i allows, full tiles first, ascending in each kind.
void find_allowed_keys(const BlockMask& mask, std::int64_t b, std::int64_t h, std::int32_t i,
                       std::vector<std::int32_t>& keys);

/// Replaces `queries` by those that allow key j, full tiles first, ascending in each kind.
void find_allowing_queries(const BlockMask& mask, const TransposedMask& transposed, std::int64_t b,
                           std::int64_t h, std::int32_t j, std::vector<std::int32_t>& queries);

}  // namespace attn

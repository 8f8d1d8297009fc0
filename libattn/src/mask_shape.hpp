// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "attn/block_mask.hpp"

namespace attn {

/// What arguments are checked against, wherever the mask lies.
struct MaskShape {
  std::int32_t n_q = 0;
  std::int32_t n_k = 0;
  std::int32_t batch = 1;
  std::int32_t heads = 1;

  MaskShape() = default;
  MaskShape(std::int32_t queries, std::int32_t keys, std::int32_t b, std::int32_t h)
      : n_q(queries), n_k(keys), batch(b), heads(h) {}
  explicit MaskShape(const BlockMask& mask)
      : MaskShape(mask.n_q(), mask.n_k(), mask.batch(), mask.heads()) {}

  /// Elements of one mask.
  [[nodiscard]] std::int64_t elements() const noexcept { return std::int64_t{n_q} * n_k; }

  friend bool operator==(const MaskShape&, const MaskShape&) = default;
};

}  // namespace attn

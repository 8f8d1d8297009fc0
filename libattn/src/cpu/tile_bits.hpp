// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace attn::cpu {

/// Some of the rows, or of the keys, of a tile: bit n % 8 of byte n / 8 is line n.
using TileBits = std::array<std::uint8_t, 256 / 8>;

[[nodiscard]] inline bool any(const TileBits& lines) noexcept {
  return std::any_of(lines.begin(), lines.end(), [](std::uint8_t byte) { return byte != 0; });
}
[[nodiscard]] inline bool has(const TileBits& lines, std::int32_t n) noexcept {
  return ((lines[static_cast<std::size_t>(n / 8)] >> (n % 8)) & 1) != 0;
}
inline void set(TileBits& lines, std::int32_t n) noexcept {
  std::uint8_t& byte = lines[static_cast<std::size_t>(n / 8)];
  byte = static_cast<std::uint8_t>(byte | 1u << (n % 8));
}

/// The mask of one visited tile: its bits as in BlockMask, or null when all is allowed.
struct TileMask {
  const std::uint8_t* bits;
  std::int32_t block_m, block_n;

  [[nodiscard]] std::uint8_t byte(std::int32_t row, std::int32_t n) const noexcept {
    return bits[row * (block_n / 8) + n];
  }
};

/// Adds to `rows` those that allow any of `keys`.
inline void add_rows_allowing(const TileBits& keys, const TileMask& mask, TileBits& rows) noexcept {
  if (!any(keys)) return;
  if (mask.bits == nullptr) {
    rows.fill(0xff);
    return;
  }
  for (std::int32_t r = 0; r < mask.block_m; ++r) {
    for (std::int32_t n = 0; n < mask.block_n / 8; ++n) {
      if ((mask.byte(r, n) & keys[static_cast<std::size_t>(n)]) != 0) set(rows, r);
    }
  }
}

/// Adds to `keys` those that any of `rows` allows.
inline void add_keys_allowed_by(const TileBits& rows, const TileMask& mask,
                                TileBits& keys) noexcept {
  if (!any(rows)) return;
  if (mask.bits == nullptr) {
    keys.fill(0xff);
    return;
  }
  for (std::int32_t r = 0; r < mask.block_m; ++r) {
    if (!has(rows, r)) continue;
    for (std::int32_t n = 0; n < mask.block_n / 8; ++n) {
      std::uint8_t& byte = keys[static_cast<std::size_t>(n)];
      byte = static_cast<std::uint8_t>(byte | mask.byte(r, n));
    }
  }
}

}  // namespace attn::cpu

// SPDX-License-Identifier: Apache-2.0
//
// An order as boxes of tensor maps. Reordered masks often leave long arithmetic progressions behind
// (residue classes of a dilated window, natural order with its hubs taken out), and a map that
// counts rows r, r + s, r + 2 s, ... loads them where they lie. What fits no box is copied.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/hopper/params.hpp"

namespace attn::hopper {

/// The rows of one side of the mask. Row `row` of part `part` of the map with this stride is row
/// row * stride + part of the tensor; each part has n / stride rows, rounded down.
struct RowBoxes {
  std::int32_t stride = 1;  ///< the most common one
  /// Of 8 rows each, for whole blocks of 64, as many as kRowBoxPadding says. The first of a block
  /// that is kWhole or kWholeCopied loads all of it, and the others say the same.
  std::vector<RowBox> boxes;
  std::vector<std::int32_t> copy;  ///< the rows that are kCopied or kWholeCopied, or kNoRow

  /// Whether an order of `rows` rows is loaded by them: at most half of it has to be copied.
  [[nodiscard]] bool serve(std::size_t rows) const noexcept { return copy.size() <= rows / 2; }
};

/// Tiles of 2 and of 3 blocks are loaded whole, also the last.
inline constexpr std::size_t kRowBoxPadding = 6;  ///< blocks come in multiples of it

/// For a new_to_old order of any length. Places behind its end hold zeros, as a box does that
/// reaches out of its map. O(n).
[[nodiscard]] RowBoxes find_row_boxes(std::span<const std::int32_t> order);

}  // namespace attn::hopper

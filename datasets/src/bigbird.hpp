// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "reorder/csr.hpp"

namespace masks {

/// BigBird's block mask: a window, global tokens at the front and random square blocks.
struct BigBird {
  std::int32_t n = 0;
  std::int32_t window = 0;   ///< to either side
  std::int32_t globals = 0;  ///< the first so many tokens see all and are seen by all
  std::int32_t block = 64;
  /// Block columns for a block row; asked again for each row of the block.
  std::function<void(std::int32_t block_row, std::vector<std::int32_t>& block_cols)> random_blocks;
};

[[nodiscard]] reorder::Csr build_bigbird(const BigBird& mask);

}  // namespace masks

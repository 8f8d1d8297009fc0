// SPDX-License-Identifier: Apache-2.0
#include "bigbird.hpp"

#include "rows.hpp"

namespace masks {

reorder::Csr build_bigbird(const BigBird& mask) {
  std::vector<std::int32_t> block_cols;
  return build_rows(mask.n, mask.n, [&](std::int32_t i, Row& row) {
    if (i < mask.globals) return row.add(0, mask.n);
    row.add(0, mask.globals);
    row.add(std::int64_t{i} - mask.window, std::int64_t{i} + mask.window + 1);
    block_cols.clear();
    mask.random_blocks(i / mask.block, block_cols);
    for (const std::int64_t col : block_cols) row.add(col * mask.block, (col + 1) * mask.block);
  });
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include "trees.hpp"

#include "rows.hpp"

namespace masks {

reorder::Csr repeat_tree(std::int32_t n, std::span<const std::int32_t> parents, Sees sees) {
  const auto size = static_cast<std::int32_t>(parents.size());
  return build_rows(n, n, [&](std::int32_t i, Row& row) {
    const std::int32_t root = i - i % size;
    row.add(i);
    for (std::int32_t node = parents[static_cast<std::size_t>(i - root)]; node >= 0;
         node = parents[static_cast<std::size_t>(node)]) {
      row.add(std::int64_t{root} + node);
      if (sees == Sees::parent) break;
    }
  });
}

}  // namespace masks

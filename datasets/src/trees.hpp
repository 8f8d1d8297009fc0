// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "reorder/csr.hpp"

namespace masks {

/// What a tree's node sees besides itself.
enum class Sees {
  parent,     ///< its parent only
  ancestors,  ///< its parent, the parent's parent and so on to the root
};

/// The tree repeated along the diagonal, the last copy cut at n. `parents[i]` is the parent of node
/// i, smaller than i, or -1 for a root.
[[nodiscard]] reorder::Csr repeat_tree(std::int32_t n, std::span<const std::int32_t> parents,
                                       Sees sees);

}  // namespace masks

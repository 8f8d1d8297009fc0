// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "reorder/csr.hpp"

namespace reorder {

/// Tokens of a square mask such that keys stand before the queries that see them, new_to_old. Of
/// the tokens that may come next the one set free last is taken: a tree is walked in preorder, its
/// largest branches first, a document from its start. Tokens that see each other in a circle stay
/// together, in the order of reverse Cuthill-McKee. O(nnz + n log n); circles by Tarjan,
/// "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972).
[[nodiscard]] std::vector<std::int32_t> keys_first(const CsrView& mask);

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/objective.hpp"
#include "reorder/permutation.hpp"

namespace reorder {

/// One order of the tokens of a square mask in which connected components are runs, each in the
/// order of `tokens`, laid out so that few of them reach into a tile more than they need; tokens
/// without entries come last. Where components begin decides how many tiles they touch: this is bin
/// packing, here by exchanges at random, the best of up to 16 counted. O(nnz + n) for each.
[[nodiscard]] Ordering pack_components(const CsrView& mask, const std::vector<std::int32_t>& tokens,
                                       Tile tile, std::uint64_t seed);

}  // namespace reorder

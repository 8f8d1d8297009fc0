// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/objective.hpp"

namespace reorder {

/// An order of the rows, new_to_old, that fills groups of `group_size` one after the other, each
/// time with the row that brings the fewest columns that the group does not have yet. Columns with
/// more than `most_common` rows tell rows apart too little for their price and do not count.
/// O(Σ over the columns that each group has of their rows).
[[nodiscard]] std::vector<std::int32_t> fill_groups(const CsrView& mask, const CsrView& transposed,
                                                    std::int32_t group_size,
                                                    std::int64_t most_common);

/// The same for the columns of an order of the rows, by the row tiles that they touch.
[[nodiscard]] std::vector<std::int32_t> fill_column_groups(const CsrView& transposed,
                                                           std::span<const std::int32_t> row_order,
                                                           Tile tile);

/// Columns more common than this are hubs: eight times the median degree of those not empty.
[[nodiscard]] std::int64_t most_common_degree(const CsrView& transposed);

}  // namespace reorder

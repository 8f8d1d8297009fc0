// SPDX-License-Identifier: Apache-2.0
//
// A mask and an objective as the searches see them: items with pins, and prices.
#pragma once

#include <cstdint>
#include <span>

#include "reorder/csr.hpp"
#include "reorder/objective.hpp"
#include "tile_search.hpp"

namespace reorder {

/// The price of a gathered key: rows of a million keys must not overflow.
inline constexpr std::int32_t kPriceOfKey = 1 << 10;

/// Rows of `pattern` as items whose features are classes of columns. O(nnz).
[[nodiscard]] Items items_of(const CsrView& pattern, std::span<const std::int32_t> feature_of,
                             std::int32_t n_features, int threads);

/// The objective as prices. Above 1, `smoothing` spreads the price of a tile over its entries.
[[nodiscard]] Prices prices_of(const Objective& objective, double smoothing);

}  // namespace reorder

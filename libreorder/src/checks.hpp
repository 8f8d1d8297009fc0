// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "reorder/csr.hpp"
#include "reorder/permutation.hpp"

namespace reorder {

/// Throws Error{invalid_argument} unless `ordering` has a place for each row and column.
void require_match(const CsrView& pattern, const Ordering& ordering);

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "cuda/mask_build/strip_grid.hpp"

namespace attn::mask_build {

/// Throws Error{invalid_mask} that says what is wrong with row `row` of one of these patterns in
/// device memory: the kernels found only that something is.
[[noreturn]] void report_malformed(std::span<const CsrSource> sources, const StripGrid& grid,
                                   std::int32_t row);

}  // namespace attn::mask_build

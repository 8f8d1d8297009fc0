// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "cpu/kernels.hpp"

namespace attn::cpu {

/// Adds single keys to row r of a row tile: the softmax of these keys and that of the tiles before
/// are merged through their maxima and sums. `scratch` holds two padded rows. A NaN or infinity
/// leaves the row such that Kernels::finish refuses it.
void add_keys(const Layout& layout, const RowTile& tile, std::int32_t r, const HeadRows& k,
              const HeadRows& v, std::span<const std::int32_t> keys, float* scratch);

}  // namespace attn::cpu

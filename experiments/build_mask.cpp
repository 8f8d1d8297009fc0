// SPDX-License-Identifier: Apache-2.0
#include "experiments/build_mask.hpp"

namespace experiments {

attn::CsrPattern to_attn(const reorder::CsrView& pattern) noexcept {
  return {pattern.n_rows, pattern.n_cols, pattern.row_offsets, pattern.col_indices};
}

std::optional<std::string> disagreement(const reorder::TileCounts& counted,
                                        const attn::BlockMask& built) {
  if (counted.full == built.full_count() && counted.partial() == built.partial_count()) return {};
  return "libreorder counts " + std::to_string(counted.full) + " full and " +
         std::to_string(counted.partial()) + " partial tiles, the mask built has " +
         std::to_string(built.full_count()) + " and " + std::to_string(built.partial_count());
}

}  // namespace experiments

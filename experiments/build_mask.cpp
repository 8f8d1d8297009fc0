// SPDX-License-Identifier: Apache-2.0
#include "experiments/build_mask.hpp"

#include <algorithm>
#include <cmath>

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

MaskForm build_form(const reorder::CsrView& pattern, const reorder::Objective& objective,
                    attn::TileShape tile, int threads) {
  using Kind = reorder::Objective::Kind;
  const attn::CsrPattern csr = to_attn(pattern);
  if (objective.kind == Kind::tiles_min) {
    return attn::SplitMask::from_csr(csr, tile, objective.theta, threads);
  }
  if (objective.kind == Kind::gather) return attn::GatheredMask::from_csr(csr, tile, threads);
  return attn::BlockMask::from_csr(csr, tile, threads);
}

std::string form_of(const reorder::Objective& objective) {
  using Kind = reorder::Objective::Kind;
  return objective.kind == Kind::tiles_min ? "split"
         : objective.kind == Kind::gather  ? "gathered"
                                           : "tiles";
}

std::int64_t tiles_of(const MaskForm& mask) {
  const auto count = [](const attn::BlockMask& tiles) {
    return tiles.full_count() + tiles.partial_count();
  };
  if (const auto* block = std::get_if<attn::BlockMask>(&mask)) return count(*block);
  if (const auto* split = std::get_if<attn::SplitMask>(&mask)) return count(split->tiles());
  return count(std::get<attn::GatheredMask>(mask).tiles());
}

std::int64_t residual_of(const MaskForm& mask) {
  const auto* split = std::get_if<attn::SplitMask>(&mask);
  return split == nullptr ? 0 : split->residual_count();
}

std::optional<std::string> disagreement(const reorder::Objective& objective, double value,
                                        const MaskForm& built) {
  const double lambda =
      objective.kind == reorder::Objective::Kind::tiles_min ? objective.lambda : 0;
  const double found =
      static_cast<double>(tiles_of(built)) + lambda * static_cast<double>(residual_of(built));
  if (std::abs(found - value) <= 1e-9 * std::max(std::abs(value), 1.0)) return std::nullopt;
  return "libreorder counts " + std::to_string(value) + " by " + reorder::to_string(objective) +
         ", libattn built " + std::to_string(found);
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "attn/block_mask.hpp"
#include "attn/mask_forms.hpp"
#include "reorder/csr.hpp"
#include "reorder/objective.hpp"

namespace experiments {

/// libreorder's pattern as libattn sees it; nothing is copied. This is where the two meet.
[[nodiscard]] attn::CsrPattern to_attn(const reorder::CsrView& pattern) noexcept;

/// A mask in the form that an objective counts.
using MaskForm = std::variant<attn::BlockMask, attn::SplitMask, attn::GatheredMask>;

/// A SplitMask for tiles_min, a GatheredMask for gather, a BlockMask for the others.
[[nodiscard]] MaskForm build_form(const reorder::CsrView& pattern,
                                  const reorder::Objective& objective, attn::TileShape tile,
                                  int threads);

/// "tiles", "split" or "gathered".
[[nodiscard]] std::string form_of(const reorder::Objective& objective);

/// Tiles that attention visits under the mask.
[[nodiscard]] std::int64_t tiles_of(const MaskForm& mask);

/// Pairs that stand in no tile.
[[nodiscard]] std::int64_t residual_of(const MaskForm& mask);

/// Nothing when the tiles that libreorder counted are those that libattn built, or a sentence.
[[nodiscard]] std::optional<std::string> disagreement(const reorder::TileCounts& counted,
                                                      const attn::BlockMask& built);

/// The same for the value of an objective whose form is not tiles.
[[nodiscard]] std::optional<std::string> disagreement(const reorder::Objective& objective,
                                                      double value, const MaskForm& built);

}  // namespace experiments

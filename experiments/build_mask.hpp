// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "attn/block_mask.hpp"
#include "reorder/csr.hpp"
#include "reorder/objective.hpp"

namespace experiments {

/// libreorder's pattern as libattn sees it; nothing is copied. This is where the two meet.
[[nodiscard]] attn::CsrPattern to_attn(const reorder::CsrView& pattern) noexcept;

/// Nothing when the tiles that libreorder counted are those that libattn built, or a sentence.
[[nodiscard]] std::optional<std::string> disagreement(const reorder::TileCounts& counted,
                                                      const attn::BlockMask& built);

}  // namespace experiments

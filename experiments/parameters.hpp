// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "attn/block_mask.hpp"
#include "attn/tensor.hpp"
#include "experiments/problem.hpp"
#include "reorder/objective.hpp"
#include "reorder/strategy.hpp"

namespace experiments {

/// "128x64" as a tile of libreorder. Throws UsageError.
[[nodiscard]] reorder::Tile parse_tile(std::string_view text);

/// "128x128,64x128" in this order. Throws UsageError.
[[nodiscard]] std::vector<reorder::Tile> parse_tiles(std::string_view text);

/// The same tile as libattn knows it.
[[nodiscard]] attn::TileShape tile_shape(const reorder::Tile& tile);

/// "f32", "f16" or "bf16". Throws UsageError with the nearest.
[[nodiscard]] attn::DType parse_dtype(std::string_view text);

enum class Pass { forward, backward, both };

/// "fwd", "bwd" or "both". Throws UsageError with the nearest.
[[nodiscard]] Pass parse_pass(std::string_view text);

/// What a backward pass is asked for.
struct GradientWay {
  int passes = 0;             ///< attn::PrepareOptions::backward_passes
  bool deterministic = true;  ///< attn::BackwardArgs::deterministic
};

/// "", the same bits on every run by the passes that the backend chooses; "unordered", without that
/// promise; "two-pass", "one-pass" and "one-pass-unordered". Throws UsageError with the nearest.
[[nodiscard]] GradientWay parse_gradients(std::string_view text);

/// The problem's objective. "" is the cost model of the problem's calibration where it names one,
/// or else the count of its tiles; "cost_model{file=FILE}" is the cost model of that calibration.
/// Throws UsageError, reorder::Error.
[[nodiscard]] reorder::Objective objective_of(const Problem& problem);

/// The file of an objective "cost_model{file=FILE}", or "".
[[nodiscard]] std::string calibration_of(std::string_view objective);

/// What an ordering of this problem is told. Throws what objective_of and parse_budget throw.
[[nodiscard]] reorder::Context context_of(const Problem& problem);

/// Whether all numbers and names that need no mask are in range. Throws UsageError,
/// reorder::Error or attn::Error with a sentence.
void validate(const Problem& problem);

/// What scores are multiplied by.
[[nodiscard]] float scale_of(const Problem& problem);

[[nodiscard]] std::string to_string(const reorder::Tile& tile);

}  // namespace experiments

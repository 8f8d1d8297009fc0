// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "masks/mask.hpp"
#include "reorder/csr.hpp"
#include "reorder/spec.hpp"

namespace masks {

struct Generated {
  reorder::Csr pattern;
  std::string note = {};  ///< as Mask::note
};

/// What a file of generators/ gives to the registry, one or more of them.
struct Generator {
  GeneratorInfo info;
  std::function<Generated(const reorder::Params&)> generate;
};

// The parameters that most generators share, and short forms for the others.

[[nodiscard]] reorder::ParamSpec n_param(std::int64_t fallback = 4096,
                                         std::string summary = "tokens");
[[nodiscard]] reorder::ParamSpec seed_param();
[[nodiscard]] reorder::ParamSpec integer_param(std::string name, std::int64_t fallback,
                                               std::int64_t min, std::int64_t max,
                                               std::string summary);
[[nodiscard]] reorder::ParamSpec number_param(std::string name, double fallback, double min,
                                              double max, std::string summary);
[[nodiscard]] reorder::ParamSpec word_param(std::string name, std::string fallback,
                                            std::string summary);

/// The largest number of rows, columns or tokens.
inline constexpr std::int64_t kMaxSize = INT32_MAX;

/// An integer parameter that is known to fit.
[[nodiscard]] std::int32_t int32(const reorder::Params& params, std::string_view name);

[[nodiscard]] std::uint64_t seed(const reorder::Params& params);

/// The place of a word parameter's value in `choices`. Throws Error{invalid_argument} with the
/// choices.
[[nodiscard]] std::size_t choice(const reorder::Params& params, std::string_view name,
                                 std::span<const std::string_view> choices);

}  // namespace masks

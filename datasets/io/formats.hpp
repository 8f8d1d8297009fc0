// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace masks {

enum class Format { none, matrix_market, scipy_npz, dense_npy };

/// The format that a file's ending names, in upper or lower case.
[[nodiscard]] Format format_of(std::string_view path);

inline constexpr std::string_view kFileEndings = ".mtx, .mtx.gz, .npz or .npy";

}  // namespace masks

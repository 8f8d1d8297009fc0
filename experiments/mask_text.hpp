// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace experiments {

/// The file that a mask's text begins with, or "" where a generator makes the mask.
[[nodiscard]] std::string mask_file(std::string_view text);

/// Checks the names and the parameters of a mask's text and that its file can be opened, without
/// making the mask. Throws what masks::make would throw: reorder::Error with the nearest name, the
/// value and its limits, or the file. What only the making finds is left to it.
void check_mask(std::string_view text);

}  // namespace experiments

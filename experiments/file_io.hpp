// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace experiments {

/// The whole file. Throws reorder::Error{bad_file} with the system's reason.
[[nodiscard]] std::string read_text(const std::filesystem::path& file);

/// Writes through a temporary file that is renamed when it is whole: a full disk leaves an older
/// file as it was. Throws reorder::Error{bad_file} with the system's reason.
void write_whole(const std::filesystem::path& file, std::string_view bytes);

}  // namespace experiments

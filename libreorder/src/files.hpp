// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace reorder {

/// The whole file. Throws Error{bad_file}.
[[nodiscard]] std::string read_file(const std::filesystem::path& file);

/// Writes beside `file` and renames when the whole is on disk: a full disk leaves an older file as
/// it was. Throws Error{bad_file}.
void write_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reorder {

// NumPy's .npy format, as far as permutations and patterns need it.
// Source: NEP 1 (format versions 1.0, 2.0 and 3.0).

/// What stands before the data of a .npy file.
struct NpyHeader {
  std::string descr;  ///< "<i4", "|b1", ...
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::size_t data_offset = 0;  ///< bytes from the start of the file
};

/// Parses the header at the start of `bytes`. Throws Error{bad_file}; `source` names the file in
/// the message.
[[nodiscard]] NpyHeader parse_npy_header(std::string_view bytes, std::string_view source);

/// A 1-d array of integers of any width, sign and byte order from a .npy file, or one integer a
/// line from any other file (blank lines and # comments are skipped). Throws Error{bad_file} with
/// path:line or the path.
[[nodiscard]] std::vector<std::int32_t> read_indices(const std::filesystem::path& file);

/// Writes int32 .npy, or text when the ending is not .npy, through a temporary file that is
/// renamed when it is whole. Throws Error{bad_file}.
void write_indices(const std::filesystem::path& file, std::span<const std::int32_t> indices);

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace masks {

/// A .npy file taken apart: its data are a view into the bytes it was made from.
struct NpyArray {
  char kind = 0;  ///< NumPy's letter: b boolean, i signed, u unsigned, f float, S bytes, U text
  bool big_endian = false;
  std::size_t item_size = 0;  ///< bytes
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::string descr;  ///< as the file says it, for messages
  std::string_view data;
};

/// Throws Error{bad_file} for a damaged header and when the data are shorter or longer than the
/// shape says.
[[nodiscard]] NpyArray parse_npy(std::string_view bytes, const std::string& source);

/// "(2, 3)" as NumPy writes it.
[[nodiscard]] std::string to_string(const std::vector<std::int64_t>& shape);

/// The header of a C-ordered .npy file.
[[nodiscard]] std::string npy_header(std::string_view descr,
                                     const std::vector<std::int64_t>& shape);

}  // namespace masks

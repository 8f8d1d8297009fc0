// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace masks {

/// The number at an offset of little-endian bytes, on a machine of any byte order.
template <std::unsigned_integral Number>
[[nodiscard]] constexpr Number little_endian(std::string_view bytes, std::size_t at) {
  Number number = 0;
  for (std::size_t i = sizeof(Number); i-- > 0;) {
    number = static_cast<Number>((std::uint64_t{number} << 8) |
                                 static_cast<unsigned char>(bytes[at + i]));
  }
  return number;
}

/// Appends a number's little-endian bytes.
template <std::unsigned_integral Number>
void append_little_endian(std::string& bytes, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    bytes += static_cast<char>(static_cast<unsigned char>(std::uint64_t{number} >> (8 * i)));
  }
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include "npy_array.hpp"

#include <charconv>
#include <limits>

#include "io/little_endian.hpp"
#include "reorder/error.hpp"
#include "reorder/npy.hpp"

namespace masks {
namespace {

[[noreturn]] void fail(const std::string& source, const std::string& what) {
  throw reorder::Error(reorder::ErrorCode::bad_file, source + ": " + what);
}

/// Bytes that the shape asks for; a sentence rather than an overflow for shapes beyond memory.
std::uint64_t data_size(const NpyArray& array, const std::string& source) {
  std::uint64_t size = array.item_size;
  for (const std::int64_t extent : array.shape) {
    if (extent < 0) fail(source, "has the negative shape " + to_string(array.shape));
    const auto count = static_cast<std::uint64_t>(extent);
    if (count != 0 && size > std::numeric_limits<std::uint64_t>::max() / count) {
      fail(source, "has the shape " + to_string(array.shape) + ", too large for any file");
    }
    size *= count;
  }
  return size;
}

}  // namespace

NpyArray parse_npy(std::string_view bytes, const std::string& source) {
  const reorder::NpyHeader header = reorder::parse_npy_header(bytes, source);
  NpyArray array;
  array.descr = header.descr;
  array.fortran_order = header.fortran_order;
  array.shape = header.shape;

  std::string_view type = header.descr;
  if (!type.empty() && std::string_view("<>|=").find(type[0]) != std::string_view::npos) {
    array.big_endian = type[0] == '>';
    type.remove_prefix(1);
  }
  if (!type.empty()) {
    array.kind = type[0];
    const char* end = type.data() + type.size();
    const auto [rest, error] = std::from_chars(type.data() + 1, end, array.item_size);
    if (error != std::errc{} || rest != end) array.kind = 0;
  }
  if (array.kind == 0 || array.item_size > (std::size_t{1} << 20)) {
    fail(source, "has values of type '" + array.descr + "', which cannot be read");
  }
  if (array.kind == 'U') array.item_size *= 4;  // counted in characters of UCS-4

  const std::uint64_t wanted = data_size(array, source);
  array.data = bytes.substr(header.data_offset);
  if (array.data.size() != wanted) {
    fail(source, "holds " + std::to_string(array.data.size()) + " bytes of data where its shape " +
                     to_string(array.shape) + " of '" + array.descr + "' needs " +
                     std::to_string(wanted));
  }
  return array;
}

std::string to_string(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (const std::int64_t extent : shape) text += std::to_string(extent) + ", ";
  if (shape.size() > 1) text.pop_back();
  if (!shape.empty()) text.pop_back();
  return text + ")";
}

std::string npy_header(std::string_view descr, const std::vector<std::int64_t>& shape) {
  constexpr std::size_t kAlignment = 64;
  constexpr std::size_t kPreamble = 10;
  std::string text = "{'descr': '" + std::string(descr) +
                     "', 'fortran_order': False, 'shape': " + to_string(shape) + ", }";
  text.append(kAlignment - (kPreamble + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  std::string header = "\x93NUMPY";
  header += '\x01';
  header += '\x00';
  append_little_endian(header, static_cast<std::uint16_t>(text.size()));
  return header + text;
}

}  // namespace masks

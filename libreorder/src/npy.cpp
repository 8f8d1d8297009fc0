// SPDX-License-Identifier: Apache-2.0
#include "reorder/npy.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>

#include "reorder/error.hpp"
#include "reorder/files.hpp"

namespace reorder {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the arrays are read and written as little-endian without swapping");

constexpr std::string_view kMagic = "\x93NUMPY";

[[noreturn]] void bad_file(std::string_view source, const std::string& what) {
  throw Error(ErrorCode::bad_file, std::string(source) + ": " + what);
}

/// Reads the header's Python dictionary, as far as NumPy writes it.
class Dictionary {
 public:
  Dictionary(std::string_view text, std::string_view source) : text_(text), source_(source) {}

  void parse(NpyHeader& header) {
    bool descr = false;
    bool order = false;
    bool shape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        header.descr = quoted();
        descr = true;
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
        order = true;
      } else if (key == "shape") {
        header.shape = tuple();
        shape = true;
      } else {
        bad("unknown key '" + key + "'");
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    if (!descr || !order || !shape) bad("descr, fortran_order and shape must all be there");
  }

 private:
  [[noreturn]] void bad(const std::string& what) const {
    bad_file(source_, "not a .npy header: " + what);
  }
  void skip_space() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t')) {
      text_.remove_prefix(1);
    }
  }
  bool take(char c) {
    skip_space();
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) {
      bad(std::string("expected '") + c + "'" +
          (text_.empty() ? " before the end"
                         : " before '" + std::string(text_.substr(0, 8)) + "'"));
    }
  }
  std::string quoted() {
    skip_space();
    const char quote = !text_.empty() && text_[0] == '"' ? '"' : '\'';
    expect(quote);
    const std::size_t end = text_.find(quote);
    if (end == std::string_view::npos) bad("a quote is never closed");
    std::string result(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return result;
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.starts_with(word)) {
        text_.remove_prefix(word.size());
        return word == "True";
      }
    }
    bad("fortran_order is neither True nor False");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> result;
    expect('(');
    while (!take(')')) {
      skip_space();
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
      if (error != std::errc() || value < 0) bad("a dimension is no count");
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      result.push_back(value);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return result;
  }

  std::string_view text_;
  std::string_view source_;
};

/// How an array's integers lie in memory: '<i4' and its like, '|u1'.
struct IntegerType {
  bool big_endian, is_signed;
  std::size_t width;  ///< bytes: 1, 2, 4 or 8

  static std::optional<IntegerType> parse(std::string_view descr) {
    constexpr std::string_view kOrders = "<>|=";
    constexpr std::string_view kKinds = "iu";
    constexpr std::string_view kWidths = "1248";
    if (descr.size() != 3 || kOrders.find(descr[0]) == std::string_view::npos ||
        kKinds.find(descr[1]) == std::string_view::npos ||
        kWidths.find(descr[2]) == std::string_view::npos) {
      return std::nullopt;
    }
    return IntegerType{descr[0] == '>', descr[1] == 'i', static_cast<std::size_t>(descr[2] - '0')};
  }

  /// A number of `width` bytes, carried on to 64 bits with its sign.
  [[nodiscard]] std::uint64_t read(std::string_view bytes) const {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      value = value << 8 | static_cast<unsigned char>(bytes[big_endian ? i : width - 1 - i]);
    }
    const std::uint64_t sign = std::uint64_t{1} << (8 * width - 1);
    return is_signed ? (value ^ sign) - sign : value;
  }
  [[nodiscard]] std::string text(std::uint64_t value) const {
    return is_signed ? std::to_string(static_cast<std::int64_t>(value)) : std::to_string(value);
  }
};

std::vector<std::int32_t> read_npy_indices(std::string_view bytes, const std::string& source) {
  const NpyHeader header = parse_npy_header(bytes, source);
  const auto type = IntegerType::parse(header.descr);
  if (!type) bad_file(source, "indices must be integers, not '" + header.descr + "'");
  if (header.shape.size() != 1) {
    bad_file(source, "indices must be a 1-d array, but this one has " +
                         std::to_string(header.shape.size()) + " dimensions");
  }
  const std::string_view data = bytes.substr(header.data_offset);
  const std::size_t width = type->width;
  const auto n = static_cast<std::size_t>(header.shape[0]);
  if (data.size() % width != 0 || data.size() / width != n) {
    bad_file(source, "the header promises " + std::to_string(n) + " elements of " +
                         std::to_string(width) + " bytes, but " + std::to_string(data.size()) +
                         " bytes follow");
  }
  std::vector<std::int32_t> result(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t value = type->read(data.substr(i * width, width));
    // A negative one is large without its sign.
    if (value > std::numeric_limits<std::int32_t>::max()) {
      bad_file(source, "element " + std::to_string(i) + " is " + type->text(value) +
                           ", which is no index in [0, 2147483647]");
    }
    result[i] = static_cast<std::int32_t>(value);
  }
  return result;
}

std::vector<std::int32_t> read_text_indices(std::string_view text, const std::string& source) {
  std::vector<std::int32_t> result;
  for (std::size_t line_number = 1; !text.empty(); ++line_number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    line = line.substr(0, line.find('#'));
    constexpr std::string_view kSpace = " \t\r";
    const std::size_t first = line.find_first_not_of(kSpace);
    if (first == std::string_view::npos) continue;
    line = line.substr(first, line.find_last_not_of(kSpace) - first + 1);
    std::int32_t value = 0;
    const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc() || stop != line.data() + line.size() || value < 0) {
      const std::string token(line.substr(0, 40));
      if (std::any_of(token.begin(), token.end(), [](char c) { return c >= 0 && c < ' '; })) {
        bad_file(source, "neither a .npy file nor text with an index a line");
      }
      bad_file(source + ":" + std::to_string(line_number),
               "'" + token + "' is no index in [0, 2147483647]");
    }
    result.push_back(value);
  }
  return result;
}

}  // namespace

NpyHeader parse_npy_header(std::string_view bytes, std::string_view source) {
  if (!bytes.starts_with(kMagic)) bad_file(source, "not a .npy file: it has no NUMPY magic");
  if (bytes.size() < 10) bad_file(source, "the .npy header is cut off");
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i]));
  };
  const std::size_t major = byte(6);
  if (major < 1 || major > 3) {
    bad_file(source, ".npy version " + std::to_string(major) + "." + std::to_string(byte(7)) +
                         " is not known; 1.0, 2.0 and 3.0 are");
  }
  std::size_t start = 10;
  std::size_t length = byte(8) | byte(9) << 8;
  if (major >= 2) {
    start = 12;
    if (bytes.size() < start) bad_file(source, "the .npy header is cut off");
    length |= byte(10) << 16 | byte(11) << 24;
  }
  if (bytes.size() - start < length) bad_file(source, "the .npy header is cut off");
  NpyHeader header;
  header.data_offset = start + length;
  Dictionary(bytes.substr(start, length), source).parse(header);
  return header;
}

std::vector<std::int32_t> read_indices(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  if (file.extension() == ".npy" || bytes.starts_with(kMagic)) {
    return read_npy_indices(bytes, file.string());
  }
  return read_text_indices(bytes, file.string());
}

void write_indices(const std::filesystem::path& file, std::span<const std::int32_t> indices) {
  std::string bytes;
  if (file.extension() == ".npy") {
    std::string header = "{'descr': '<i4', 'fortran_order': False, 'shape': (" +
                         std::to_string(indices.size()) + ",), }";
    // The data starts at a multiple of 64 bytes, behind a newline.
    header.append(63 - (10 + header.size()) % 64, ' ');
    header += '\n';
    const std::size_t length = header.size();
    bytes.append(kMagic).append({'\1', '\0'});
    bytes.append({static_cast<char>(length & 0xff), static_cast<char>(length >> 8)});
    bytes += header;
    bytes.append(reinterpret_cast<const char*>(indices.data()), indices.size_bytes());
  } else {
    for (const std::int32_t index : indices) bytes += std::to_string(index) + '\n';
  }
  write_file(file, bytes);
}

}  // namespace reorder

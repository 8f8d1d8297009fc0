// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "io/readers.hpp"
#include "reorder/error.hpp"

namespace masks {
namespace {

[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw reorder::Error(reorder::ErrorCode::bad_file, where + ": " + what);
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

/// Text from a file as a message shows it: short, and without control characters.
std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string result = "'";
  for (const char c : text.substr(0, kLongest)) result += c >= ' ' && c <= '~' ? c : '?';
  return result + (text.size() > kLongest ? "...'" : "'");
}

/// Cuts a source into lines through one large buffer.
class LineReader {
 public:
  explicit LineReader(ByteSource& source)
      : source_(source),
        buffer_(
            static_cast<std::size_t>(std::min<std::uint64_t>(kBufferSize, source.max_size() + 1))) {
  }

  /// The next line without its end; false after the last one. The text holds until the next call.
  bool next(std::string_view& line) {
    for (;;) {
      const auto* newline = static_cast<const char*>(std::memchr(at_, '\n', left()));
      if (newline != nullptr) {
        line = {at_, static_cast<std::size_t>(newline - at_)};
        at_ = newline + 1;
        ++number_;
        return true;
      }
      if (!refill()) break;
    }
    if (at_ == end_) return false;
    line = {at_, left()};
    at_ = end_;
    ++number_;
    return true;
  }

  /// "file:line" of the line read last.
  [[nodiscard]] std::string where() const { return source_.name() + ":" + std::to_string(number_); }
  [[nodiscard]] const ByteSource& source() const { return source_; }

 private:
  static constexpr std::size_t kBufferSize = std::size_t{1} << 20;

  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  /// Moves the begun line to the front and reads on behind it; false at the end.
  bool refill() {
    const std::size_t kept = left();
    if (kept == buffer_.size()) {
      ++number_;
      fail(where(), "the line is longer than " + std::to_string(kBufferSize) + " characters");
    }
    std::memmove(buffer_.data(), at_, kept);
    const std::size_t got = source_.read(std::span(buffer_).subspan(kept));
    at_ = buffer_.data();
    end_ = buffer_.data() + kept + got;
    return got > 0;
  }

  ByteSource& source_;
  std::vector<char> buffer_;
  const char* at_ = buffer_.data();
  const char* end_ = buffer_.data();
  std::uint64_t number_ = 0;
};

/// Takes the blank-separated tokens of a line one by one.
class Tokens {
 public:
  explicit Tokens(std::string_view line) : at_(line.data()), end_(line.data() + line.size()) {}

  /// Empty at the end of the line.
  std::string_view next() {
    while (at_ != end_ && is_blank(*at_)) ++at_;
    const char* begin = at_;
    while (at_ != end_ && !is_blank(*at_)) ++at_;
    return {begin, static_cast<std::size_t>(at_ - begin)};
  }

 private:
  const char* at_;
  const char* end_;
};

template <class Number>
bool parse(std::string_view token, Number& number) {
  if (token.size() > 1 && token[0] == '+' && token[1] != '-') token.remove_prefix(1);
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), number);
  const bool is_number = error == std::errc{} || (std::is_floating_point_v<Number> &&
                                                  error == std::errc::result_out_of_range);
  return is_number && end == token.data() + token.size();
}

struct Header {
  bool has_values = false;  ///< real or integer
  bool mirrored = false;    ///< (i, j) stands for (j, i) as well
  bool skew = false;        ///< and the diagonal is empty
};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

Header read_header(LineReader& lines) {
  std::string_view line;
  if (!lines.next(line)) fail(lines.source().name(), "is empty");
  Tokens tokens(line);
  if (lower(tokens.next()) != "%%matrixmarket") {
    fail(lines.where(), "a Matrix Market file begins with %%MatrixMarket, not with " + shown(line));
  }
  const std::string object = lower(tokens.next());
  const std::string format = lower(tokens.next());
  const std::string field = lower(tokens.next());
  const std::string symmetry = lower(tokens.next());
  if (object != "matrix") {
    fail(lines.where(), "holds " + shown(object) + "; only 'matrix' can be read");
  }
  if (format == "array") {
    fail(lines.where(), "is a dense 'array'; only 'coordinate' can be read (a dense mask: .npy)");
  }
  if (format != "coordinate") {
    fail(lines.where(), "unknown format " + shown(format) + "; only 'coordinate' can be read");
  }
  if (field == "complex") {
    fail(lines.where(), "holds 'complex' values; pattern, real or integer can be read");
  }
  if (field != "pattern" && field != "real" && field != "integer") {
    fail(lines.where(),
         "unknown values " + shown(field) + "; pattern, real or integer can be read");
  }
  if (symmetry != "general" && symmetry != "symmetric" && symmetry != "skew-symmetric") {
    fail(lines.where(), "unknown symmetry " + shown(symmetry) +
                            "; general, symmetric or skew-symmetric can be read");
  }
  return {field != "pattern", symmetry != "general", symmetry == "skew-symmetric"};
}

struct Sizes {
  std::int32_t rows = 0;
  std::int32_t cols = 0;
  std::int64_t entries = 0;
};

bool is_comment_or_blank(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r");
  return first == std::string_view::npos || line[first] == '%';
}

std::int64_t read_size(const LineReader& lines, std::string_view token, const char* what,
                       std::int64_t limit) {
  std::int64_t size = 0;
  if (!parse(token, size)) {
    fail(lines.where(), "the number of " + std::string(what) + " should stand here, not " +
                            (token.empty() ? "the line's end" : shown(token)));
  }
  if (size < 0 || size > limit) {
    fail(lines.where(),
         std::to_string(size) + " " + what + "; the limit is " + std::to_string(limit));
  }
  return size;
}

Sizes read_sizes(LineReader& lines) {
  std::string_view line;
  do {
    if (!lines.next(line)) fail(lines.source().name(), "ends before the line with its sizes");
  } while (is_comment_or_blank(line));
  Tokens tokens(line);
  Sizes sizes;
  sizes.rows = static_cast<std::int32_t>(read_size(lines, tokens.next(), "rows", INT32_MAX));
  sizes.cols = static_cast<std::int32_t>(read_size(lines, tokens.next(), "columns", INT32_MAX));
  sizes.entries = read_size(lines, tokens.next(), "entries", INT64_MAX);
  if (const std::string_view extra = tokens.next(); !extra.empty()) {
    fail(lines.where(), shown(extra) + " follows the three sizes");
  }
  return sizes;
}

std::int32_t read_index(const LineReader& lines, std::string_view token, const char* what,
                        std::int32_t limit) {
  std::int64_t index = 0;
  if (!parse(token, index)) {
    fail(lines.where(), "a " + std::string(what) + " should stand here, not " +
                            (token.empty() ? "the line's end" : shown(token)));
  }
  if (index < 1 || index > limit) {
    fail(lines.where(), std::string(what) + " " + std::to_string(index) + " is outside 1..." +
                            std::to_string(limit));
  }
  return static_cast<std::int32_t>(index - 1);
}

void check_value(const LineReader& lines, std::string_view token) {
  double value = 0;
  if (!parse(token, value)) {
    fail(lines.where(),
         "a value should stand here, not " + (token.empty() ? "the line's end" : shown(token)));
  }
}

}  // namespace

reorder::Csr read_matrix_market(ByteSource& source) {
  LineReader lines(source);
  const Header header = read_header(lines);
  const Sizes sizes = read_sizes(lines);
  if (header.mirrored && sizes.rows != sizes.cols) {
    fail(lines.where(), "a symmetric matrix of " + std::to_string(sizes.rows) + " rows and " +
                            std::to_string(sizes.cols) + " columns");
  }
  // The shortest entry is "1 1\n".
  const std::uint64_t possible = source.max_size() / 4 + 1;
  const auto claimed = static_cast<std::uint64_t>(sizes.entries);
  if (claimed > possible) {
    fail(lines.where(),
         "claims " + std::to_string(claimed) + " entries, more than the file can hold");
  }
  check_claimed_rows(sizes.rows, claimed, lines.where());

  std::vector<std::pair<std::int32_t, std::int32_t>> entries;
  entries.reserve(claimed * (header.mirrored ? 2 : 1));
  std::uint64_t count = 0;
  std::string_view line;
  while (lines.next(line)) {
    Tokens tokens(line);
    const std::string_view first = tokens.next();
    if (first.empty() || first[0] == '%') continue;
    if (++count > claimed) {
      fail(lines.where(), "has more entries than the " + std::to_string(claimed) + " claimed");
    }
    const std::int32_t row = read_index(lines, first, "row", sizes.rows);
    const std::int32_t col = read_index(lines, tokens.next(), "column", sizes.cols);
    if (header.has_values) check_value(lines, tokens.next());
    if (const std::string_view extra = tokens.next(); !extra.empty()) {
      fail(lines.where(), shown(extra) + " follows the entry");
    }
    if (header.skew && row == col) {
      fail(lines.where(), "a skew-symmetric matrix has no entry on the diagonal");
    }
    entries.emplace_back(row, col);
    if (header.mirrored && row != col) entries.emplace_back(col, row);
  }
  if (count < claimed) {
    fail(lines.where(),
         "ends after " + std::to_string(count) + " of " + std::to_string(claimed) + " entries");
  }
  return reorder::Csr::from_entries(sizes.rows, sizes.cols, entries);
}

}  // namespace masks

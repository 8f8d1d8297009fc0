// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "io/npy_array.hpp"
#include "io/readers.hpp"
#include "reorder/error.hpp"

namespace masks {
namespace {

[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw reorder::Error(reorder::ErrorCode::bad_file, where + ": " + what);
}

/// Tells zero from non-zero for items of any type, from their bytes.
class ItemTest {
 public:
  ItemTest(const NpyArray& array, const std::string& source) : size_(array.item_size) {
    const bool is_float = array.kind == 'f';
    const bool known = (array.kind == 'b' && size_ == 1) ||
                       ((array.kind == 'i' || array.kind == 'u') &&
                        (size_ == 1 || size_ == 2 || size_ == 4 || size_ == 8)) ||
                       (is_float && (size_ == 2 || size_ == 4 || size_ == 8));
    if (!known) {
      fail(source, "has values of type '" + array.descr +
                       "'; booleans, integers and floats of 2, 4 or 8 bytes can be read");
    }
    significant_.fill(0xff);
    if (!is_float) return;
    // The sign does not count, -0.0 is zero; all bits of the exponent set is infinity or NaN.
    const std::size_t last = array.big_endian ? 0 : size_ - 1;
    const std::size_t next = array.big_endian ? 1 : size_ - 2;
    significant_[last] = 0x7f;
    exponent_[last] = size_ == 2 ? 0x7c : 0x7f;
    exponent_[next] = size_ == 2 ? 0 : size_ == 4 ? 0x80 : 0xf0;
    has_exponent_ = true;
  }

  [[nodiscard]] bool is_nonzero(const char* item) const {
    unsigned any = 0;
    for (std::size_t i = 0; i < size_; ++i) any |= byte(item, i) & significant_[i];
    return any != 0;
  }

  [[nodiscard]] bool is_finite(const char* item) const {
    if (!has_exponent_) return true;
    for (std::size_t i = 0; i < size_; ++i) {
      if ((byte(item, i) & exponent_[i]) != exponent_[i]) return true;
    }
    return false;
  }

 private:
  static unsigned byte(const char* item, std::size_t i) {
    return static_cast<unsigned char>(item[i]);
  }

  std::size_t size_;
  bool has_exponent_ = false;
  std::array<unsigned char, 8> significant_{};
  std::array<unsigned char, 8> exponent_{};
};

/// Whether the next eight bytes are all zero: most of a sparse mask is.
bool is_zero_word(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  return word == 0;
}

}  // namespace

reorder::Csr read_dense_npy(std::string_view bytes, const std::string& source) {
  const NpyArray array = parse_npy(bytes, source);
  if (array.shape.size() != 2) {
    fail(source, "has " + std::to_string(array.shape.size()) + " dimensions, the shape " +
                     to_string(array.shape) + "; a mask has two");
  }
  for (const std::int64_t extent : array.shape) {
    if (extent > INT32_MAX) {
      fail(source, "has the shape " + to_string(array.shape) + "; the limit is 2^31 - 1");
    }
  }
  const ItemTest test(array, source);
  // In Fortran's order the columns follow one another: read as rows, they give the transpose.
  const auto n_rows = static_cast<std::int32_t>(array.shape[array.fortran_order ? 1 : 0]);
  const auto n_cols = static_cast<std::int32_t>(array.shape[array.fortran_order ? 0 : 1]);
  // An array of many rows and no columns has no data that would vouch for the rows, or, in
  // Fortran's order, for the rows of the transpose.
  check_claimed_rows(n_rows, array.data.size(), source);
  check_claimed_rows(n_cols, array.data.size(), source);

  std::vector<std::int64_t> offsets{0};
  offsets.reserve(static_cast<std::size_t>(n_rows) + 1);
  std::vector<std::int32_t> columns;
  const std::size_t items_per_word = sizeof(std::uint64_t) / array.item_size;
  const std::size_t row_items = static_cast<std::size_t>(n_cols);
  const char* row = array.data.data();
  for (std::int32_t i = 0; i < n_rows; ++i, row += row_items * array.item_size) {
    for (std::size_t j = 0; j < row_items;) {
      const char* item = row + j * array.item_size;
      if (j + items_per_word <= row_items && is_zero_word(item)) {
        j += items_per_word;
        continue;
      }
      if (test.is_nonzero(item)) {
        if (!test.is_finite(item)) {
          const std::string row_and_column = array.fortran_order
                                                 ? std::to_string(j) + ", " + std::to_string(i)
                                                 : std::to_string(i) + ", " + std::to_string(j);
          fail(source, "has an infinity or NaN at [" + row_and_column +
                           "]; it looks like an additive mask, save it as booleans");
        }
        columns.push_back(static_cast<std::int32_t>(j));
      }
      ++j;
    }
    offsets.push_back(static_cast<std::int64_t>(columns.size()));
  }
  reorder::Csr pattern(n_rows, n_cols, std::move(offsets), std::move(columns));
  return array.fortran_order ? reorder::transpose(pattern) : pattern;
}

}  // namespace masks

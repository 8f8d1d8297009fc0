// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "io/little_endian.hpp"
#include "io/npy_array.hpp"
#include "io/readers.hpp"
#include "io/zip_reader.hpp"
#include "reorder/error.hpp"

namespace masks {
namespace {

[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw reorder::Error(reorder::ErrorCode::bad_file, where + ": " + what);
}

/// One member of the archive, by the name that Python knows it by.
class Member {
 public:
  Member(const ZipReader& archive, const std::string& name, const std::string& source)
      : where_(source + ", member '" + name + "'"),
        bytes_(archive.extract(name + ".npy")),
        array_(parse_npy(bytes_, where_)) {}

  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] const NpyArray& array() const { return array_; }

  /// A list of int32 or int64 numbers. Larger than Integer is an error at its place.
  template <class Integer>
  [[nodiscard]] std::vector<Integer> integers() const {
    if (array_.kind != 'i' || array_.big_endian ||
        (array_.item_size != 4 && array_.item_size != 8)) {
      fail(where_, "has values of type '" + array_.descr + "'; it must be '<i4' or '<i8'");
    }
    if (array_.shape.size() != 1) {
      fail(where_, "has the shape " + to_string(array_.shape) + "; it must be one list");
    }
    return array_.item_size == 4 ? convert<std::uint32_t, std::int32_t, Integer>()
                                 : convert<std::uint64_t, std::int64_t, Integer>();
  }

  /// Text of one item, as in the member 'format'.
  [[nodiscard]] std::string text() const {
    if (!array_.shape.empty() || (array_.kind != 'S' && array_.kind != 'U')) {
      fail(where_,
           "must be a text, not '" + array_.descr + "' of shape " + to_string(array_.shape));
    }
    std::string result;
    for (const char c : array_.data) {
      if (c != '\0') result += c;
    }
    return result;
  }

 private:
  template <class Bits, class Stored, class Integer>
  [[nodiscard]] std::vector<Integer> convert() const {
    std::vector<Integer> result(array_.data.size() / sizeof(Stored));
    if constexpr (std::endian::native == std::endian::little && sizeof(Stored) == sizeof(Integer)) {
      if (!result.empty()) std::memcpy(result.data(), array_.data.data(), array_.data.size());
      return result;
    }
    for (std::size_t i = 0; i < result.size(); ++i) {
      const auto value = static_cast<Stored>(little_endian<Bits>(array_.data, i * sizeof(Stored)));
      if (!std::in_range<Integer>(value)) {
        fail(where_, "item " + std::to_string(i) + " is " + std::to_string(value) +
                         ", beyond the limit of 2^31 - 1");
      }
      result[i] = static_cast<Integer>(value);
    }
    return result;
  }

  std::string where_;
  std::string bytes_;
  NpyArray array_;
};

void check_offsets(const Member& member, const std::vector<std::int64_t>& offsets,
                   std::int64_t n_rows, std::int64_t n_entries) {
  if (static_cast<std::int64_t>(offsets.size()) != n_rows + 1) {
    fail(member.where(), "has " + std::to_string(offsets.size()) + " items where the shape needs " +
                             std::to_string(n_rows + 1));
  }
  if (offsets.front() != 0) {
    fail(member.where(), "begins with " + std::to_string(offsets.front()) + ", not with 0");
  }
  const auto falls = std::is_sorted_until(offsets.begin(), offsets.end());
  if (falls != offsets.end()) {
    fail(member.where(), "falls from " + std::to_string(falls[-1]) + " to " +
                             std::to_string(falls[0]) + " at item " +
                             std::to_string(falls - offsets.begin()));
  }
  if (offsets.back() != n_entries) {
    fail(member.where(), "ends with " + std::to_string(offsets.back()) + " where 'indices' has " +
                             std::to_string(n_entries) + " items");
  }
}

/// Sorts each row and merges repeated columns; a pattern that is well formed already is only read.
void sort_rows(std::vector<std::int64_t>& offsets, std::vector<std::int32_t>& columns) {
  std::int64_t kept = 0;
  std::int64_t begin = 0;
  for (std::size_t row = 0; row + 1 < offsets.size(); ++row) {
    const std::int64_t end = offsets[row + 1];
    const auto first = columns.begin() + begin;
    auto last = columns.begin() + end;
    const bool increases = std::adjacent_find(first, last, std::greater_equal<>()) == last;
    if (!increases) {
      std::sort(first, last);
      last = std::unique(first, last);
    }
    if (kept != begin) std::copy(first, last, columns.begin() + kept);
    kept += last - first;
    offsets[row + 1] = kept;
    begin = end;
  }
  columns.resize(static_cast<std::size_t>(kept));
}

}  // namespace

reorder::Csr read_scipy_npz(std::string_view bytes, const std::string& source) {
  const ZipReader archive(bytes, source);
  for (const char* name : {"format.npy", "shape.npy", "indptr.npy", "indices.npy"}) {
    if (name != std::string_view("format.npy") && archive.contains("format.npy")) break;
    if (!archive.contains(name)) {
      fail(source, "holds no member '" + std::string(name) +
                       "'; a sparse matrix is saved by scipy.sparse.save_npz");
    }
  }
  const std::string format = Member(archive, "format", source).text();
  if (format != "csr" && format != "csc") {
    fail(source, "holds a matrix in the format '" + format +
                     "'; save it as CSR: scipy.sparse.save_npz(file, matrix.tocsr())");
  }

  const Member shape_member(archive, "shape", source);
  const auto shape = shape_member.integers<std::int64_t>();
  if (shape.size() != 2) {
    fail(shape_member.where(), "has " + std::to_string(shape.size()) + " items; a matrix has two");
  }
  for (const std::int64_t extent : shape) {
    if (extent < 0 || extent > INT32_MAX) {
      fail(shape_member.where(),
           "says " + std::to_string(extent) + "; the limits are 0 and 2^31 - 1");
    }
  }
  const bool by_rows = format == "csr";
  const auto n_rows = static_cast<std::int32_t>(shape[by_rows ? 0 : 1]);
  const auto n_cols = static_cast<std::int32_t>(shape[by_rows ? 1 : 0]);

  const Member offsets_member(archive, "indptr", source);
  const Member columns_member(archive, "indices", source);
  auto offsets = offsets_member.integers<std::int64_t>();
  auto columns = columns_member.integers<std::int32_t>();
  check_offsets(offsets_member, offsets, n_rows, static_cast<std::int64_t>(columns.size()));
  const auto outside = std::find_if(columns.begin(), columns.end(), [=](std::int32_t column) {
    return column < 0 || column >= n_cols;
  });
  if (outside != columns.end()) {
    fail(columns_member.where(), "item " + std::to_string(outside - columns.begin()) + " is " +
                                     std::to_string(*outside) + ", outside [0, " +
                                     std::to_string(n_cols) + ")");
  }
  sort_rows(offsets, columns);
  reorder::Csr pattern(n_rows, n_cols, std::move(offsets), std::move(columns));
  // CSC needs memory for as many row offsets as the shape claims.
  if (by_rows) return pattern;
  check_claimed_rows(n_cols, static_cast<std::uint64_t>(pattern.nnz()), source);
  return reorder::transpose(pattern);
}

}  // namespace masks

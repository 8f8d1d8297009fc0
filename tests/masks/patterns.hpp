// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "reorder/csr.hpp"

namespace masks {

/// A pattern as lines of 'x' and '.', for masks that a reader can check by eye.
inline std::vector<std::string> picture(const reorder::CsrView& pattern) {
  std::vector<std::string> lines;
  for (std::int32_t i = 0; i < pattern.n_rows; ++i) {
    std::string line(static_cast<std::size_t>(pattern.n_cols), '.');
    for (const std::int32_t j : pattern.row(i)) line[static_cast<std::size_t>(j)] = 'x';
    lines.push_back(line);
  }
  return lines;
}

inline reorder::Csr from_picture(const std::vector<std::string>& lines) {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> columns;
  for (const std::string& line : lines) {
    for (std::size_t j = 0; j < line.size(); ++j) {
      if (line[j] == 'x') columns.push_back(static_cast<std::int32_t>(j));
    }
    offsets.push_back(static_cast<std::int64_t>(columns.size()));
  }
  const std::size_t n_cols = lines.empty() ? 0 : lines[0].size();
  return {static_cast<std::int32_t>(lines.size()), static_cast<std::int32_t>(n_cols),
          std::move(offsets), std::move(columns)};
}

inline bool same(const reorder::CsrView& a, const reorder::CsrView& b) {
  return a.n_rows == b.n_rows && a.n_cols == b.n_cols &&
         std::equal(a.row_offsets.begin(), a.row_offsets.end(), b.row_offsets.begin(),
                    b.row_offsets.end()) &&
         std::equal(a.col_indices.begin(), a.col_indices.end(), b.col_indices.begin(),
                    b.col_indices.end());
}

struct TileStatistics {
  std::int64_t nonempty = 0;
  std::int64_t full = 0;
  std::int64_t most_in_a_row = 0;  ///< the largest number of non-empty tiles in a row of tiles

  friend bool operator==(const TileStatistics&, const TileStatistics&) = default;
};

inline std::ostream& operator<<(std::ostream& out, const TileStatistics& tiles) {
  return out << tiles.nonempty << " non-empty, " << tiles.full << " full, at most "
             << tiles.most_in_a_row << " in a row";
}

/// Counts the entries of every tile, the plain way.
inline TileStatistics count_tiles_plainly(const reorder::CsrView& pattern, std::int32_t block_m,
                                          std::int32_t block_n) {
  TileStatistics result;
  for (std::int32_t top = 0; top < pattern.n_rows; top += block_m) {
    const std::int32_t bottom = std::min(top + block_m, pattern.n_rows);
    std::vector<std::int64_t> counts(
        static_cast<std::size_t>((pattern.n_cols + block_n - 1) / block_n), 0);
    for (std::int32_t i = top; i < bottom; ++i) {
      for (const std::int32_t j : pattern.row(i)) ++counts[static_cast<std::size_t>(j / block_n)];
    }
    std::int64_t in_row = 0;
    for (std::size_t t = 0; t < counts.size(); ++t) {
      const auto left = static_cast<std::int32_t>(t) * block_n;
      const std::int32_t right = std::min(left + block_n, pattern.n_cols);
      in_row += counts[t] > 0;
      result.full += counts[t] == std::int64_t{bottom - top} * (right - left);
    }
    result.nonempty += in_row;
    result.most_in_a_row = std::max(result.most_in_a_row, in_row);
  }
  return result;
}

/// Rows whose columns are strictly increasing and inside, offsets that fit: "" or what is wrong.
inline std::string what_is_wrong(const reorder::CsrView& pattern) {
  const auto rows = static_cast<std::size_t>(pattern.n_rows);
  if (pattern.row_offsets.size() != rows + 1) return "number of offsets";
  if (pattern.row_offsets.front() != 0) return "first offset";
  if (pattern.row_offsets.back() != pattern.nnz()) return "last offset";
  for (std::int32_t i = 0; i < pattern.n_rows; ++i) {
    if (pattern.degree(i) < 0) return "offsets fall at row " + std::to_string(i);
    std::int32_t last = -1;
    for (const std::int32_t j : pattern.row(i)) {
      if (j <= last || j >= pattern.n_cols) {
        return "column " + std::to_string(j) + " in row " + std::to_string(i);
      }
      last = j;
    }
  }
  return "";
}

/// FNV-1a over the shape, the row lengths and the columns.
inline std::uint64_t fingerprint(const reorder::CsrView& pattern) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&](std::int64_t number) {
    for (int byte = 0; byte < 8; ++byte) {
      hash = (hash ^ (static_cast<std::uint64_t>(number) >> (8 * byte) & 0xff)) * 0x100000001b3U;
    }
  };
  add(pattern.n_rows);
  add(pattern.n_cols);
  for (std::int32_t i = 0; i < pattern.n_rows; ++i) {
    add(pattern.degree(i));
    for (const std::int32_t j : pattern.row(i)) add(j);
  }
  return hash;
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include "reorder/csr.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "checks.hpp"
#include "graph.hpp"
#include "reorder/error.hpp"
#include "reorder/permutation.hpp"
#include "runs.hpp"

namespace reorder {
namespace {

[[noreturn]] void bad_pattern(const std::string& sentence) {
  throw Error(ErrorCode::invalid_pattern, sentence);
}

void require_square(const CsrView& pattern, const char* what) {
  if (!pattern.is_square()) {
    throw Error(ErrorCode::invalid_argument,
                std::string(what) + " needs a square pattern, but this one is " +
                    std::to_string(pattern.n_rows) + " x " + std::to_string(pattern.n_cols));
  }
}

/// Turns counts in [1, n] into offsets.
void accumulate(std::vector<std::int64_t>& offsets) {
  for (std::size_t i = 1; i < offsets.size(); ++i) offsets[i] += offsets[i - 1];
}

/// Where the rows of the transpose start.
std::vector<std::int64_t> column_offsets(std::int32_t n_cols,
                                         std::span<const std::int32_t> col_indices) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(n_cols) + 1);
  for (const std::int32_t col : col_indices) ++offsets[static_cast<std::size_t>(col) + 1];
  accumulate(offsets);
  return offsets;
}

/// The union of two sorted runs, each element once, given to `emit` in ascending order.
template <typename Emit>
void merge_unique(std::span<const std::int32_t> a, std::span<const std::int32_t> b, Emit emit) {
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() && j < b.size()) {
    const std::int32_t x = a[i];
    const std::int32_t y = b[j];
    emit(x < y ? x : y);
    i += x <= y;
    j += y <= x;
  }
  for (; i < a.size(); ++i) emit(a[i]);
  for (; j < b.size(); ++j) emit(b[j]);
}

}  // namespace

void require_match(const CsrView& pattern, const Ordering& ordering) {
  if (ordering.rows.size() != pattern.n_rows || ordering.cols.size() != pattern.n_cols) {
    throw Error(ErrorCode::invalid_argument,
                "an ordering of " + std::to_string(ordering.rows.size()) + " rows and " +
                    std::to_string(ordering.cols.size()) + " columns does not fit a pattern of " +
                    std::to_string(pattern.n_rows) + " x " + std::to_string(pattern.n_cols));
  }
}

void validate(const CsrView& pattern) {
  if (pattern.n_rows < 0 || pattern.n_cols < 0) {
    bad_pattern("a pattern cannot have " + std::to_string(pattern.n_rows) + " rows and " +
                std::to_string(pattern.n_cols) + " columns");
  }
  const auto n_offsets = static_cast<std::size_t>(pattern.n_rows) + 1;
  if (pattern.row_offsets.size() != n_offsets) {
    bad_pattern("a pattern of " + std::to_string(pattern.n_rows) + " rows needs " +
                std::to_string(n_offsets) + " row offsets, but there are " +
                std::to_string(pattern.row_offsets.size()));
  }
  if (pattern.row_offsets[0] != 0) {
    bad_pattern("row offsets start at " + std::to_string(pattern.row_offsets[0]) + ", not at 0");
  }
  // All offsets first: a row may be read only when its ends lie inside the index array.
  for (std::size_t i = 1; i < n_offsets; ++i) {
    if (pattern.row_offsets[i] < pattern.row_offsets[i - 1]) {
      bad_pattern("row offsets fall from " + std::to_string(pattern.row_offsets[i - 1]) + " to " +
                  std::to_string(pattern.row_offsets[i]) + " at row " + std::to_string(i - 1));
    }
  }
  if (pattern.row_offsets.back() != pattern.nnz()) {
    bad_pattern("row offsets end at " + std::to_string(pattern.row_offsets.back()) +
                ", but there are " + std::to_string(pattern.nnz()) + " column indices");
  }
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    std::int32_t previous = -1;
    for (const std::int32_t col : pattern.row(row)) {
      if (col < 0 || col >= pattern.n_cols) {
        bad_pattern("row " + std::to_string(row) + " has column " + std::to_string(col) +
                    ", outside [0, " + std::to_string(pattern.n_cols) + ")");
      }
      if (col <= previous) {
        bad_pattern("row " + std::to_string(row) + " has column " + std::to_string(col) +
                    " after column " + std::to_string(previous) +
                    "; columns must be strictly increasing");
      }
      previous = col;
    }
  }
}

Csr::Csr(std::int32_t n_rows, std::int32_t n_cols, std::vector<std::int64_t> row_offsets,
         std::vector<std::int32_t> col_indices)
    : n_rows_(n_rows),
      n_cols_(n_cols),
      row_offsets_(std::move(row_offsets)),
      col_indices_(std::move(col_indices)) {
  validate(view());
}

Csr Csr::trusted(std::int32_t n_rows, std::int32_t n_cols, std::vector<std::int64_t> row_offsets,
                 std::vector<std::int32_t> col_indices) {
  Csr result;
  result.n_rows_ = n_rows;
  result.n_cols_ = n_cols;
  result.row_offsets_ = std::move(row_offsets);
  result.col_indices_ = std::move(col_indices);
#ifndef NDEBUG
  validate(result.view());
#endif
  return result;
}

Csr Csr::from_entries(std::int32_t n_rows, std::int32_t n_cols,
                      std::span<const std::pair<std::int32_t, std::int32_t>> entries) {
  if (n_rows < 0 || n_cols < 0) {
    bad_pattern("a pattern cannot have " + std::to_string(n_rows) + " rows and " +
                std::to_string(n_cols) + " columns");
  }
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(n_rows) + 1);
  for (const auto& [row, col] : entries) {
    if (row < 0 || row >= n_rows || col < 0 || col >= n_cols) {
      bad_pattern("entry (" + std::to_string(row) + ", " + std::to_string(col) +
                  ") lies outside a pattern of " + std::to_string(n_rows) + " x " +
                  std::to_string(n_cols));
    }
    ++offsets[static_cast<std::size_t>(row) + 1];
  }
  accumulate(offsets);

  std::vector<std::int32_t> cols(entries.size());
  std::vector<std::int64_t> next(offsets.begin(), offsets.end() - 1);
  for (const auto& [row, col] : entries) {
    cols[static_cast<std::size_t>(next[static_cast<std::size_t>(row)]++)] = col;
  }

  // Sort each row and close the gaps that merged duplicates leave.
  auto out = cols.begin();
  std::int64_t row_begin = 0;
  for (std::size_t row = 0; row + 1 < offsets.size(); ++row) {
    const auto begin = cols.begin() + row_begin;
    const auto end = cols.begin() + offsets[row + 1];
    row_begin = offsets[row + 1];
    std::sort(begin, end);
    out = std::copy(begin, std::unique(begin, end), out);
    offsets[row + 1] = out - cols.begin();
  }
  cols.erase(out, cols.end());
  return trusted(n_rows, n_cols, std::move(offsets), std::move(cols));
}

namespace {

/// Rows of a block that are turned at once, where they have no gaps.
constexpr std::int32_t kRowsAtOnce = 64;

/// Turns the rows of a block column by column, so that neighbours in the result are written one
/// after the other: row by row a full mask touches another page with each entry. False, and nothing
/// done, where a row has gaps or they have few columns in common.
bool turn_block(const CsrView& pattern, std::int32_t begin, std::int32_t end,
                std::vector<std::int64_t>& next, std::vector<std::int32_t>& result) {
  std::array<std::int32_t, kRowsAtOnce> front{};
  std::array<std::int32_t, kRowsAtOnce> back{};
  const auto n_rows = static_cast<std::size_t>(end - begin);
  std::int64_t entries = 0;
  for (std::size_t i = 0; i < n_rows; ++i) {
    const std::span<const std::int32_t> columns = pattern.row(begin + static_cast<std::int32_t>(i));
    if (!is_run(columns)) return false;
    front[i] = columns.front();
    back[i] = columns.back();
    entries += static_cast<std::int64_t>(columns.size());
  }
  const std::int32_t first = *std::min_element(front.begin(), front.begin() + (end - begin));
  const std::int32_t last = *std::max_element(back.begin(), back.begin() + (end - begin));
  if ((std::int64_t{last} - first + 1) * (end - begin) > 2 * entries) return false;
  for (std::int32_t col = first; col <= last; ++col) {
    auto& place = next[static_cast<std::size_t>(col)];
    for (std::size_t i = 0; i < n_rows; ++i) {
      if (col < front[i] || col > back[i]) continue;
      result[static_cast<std::size_t>(place++)] = begin + static_cast<std::int32_t>(i);
    }
  }
  return true;
}

}  // namespace

Csr transpose(const CsrView& pattern) {
  std::vector<std::int64_t> offsets = column_offsets(pattern.n_cols, pattern.col_indices);
  std::vector<std::int64_t> next(offsets.begin(), offsets.end() - 1);
  std::vector<std::int32_t> cols(pattern.col_indices.size());
  // Rows are visited in order, so that each row of the result fills in order.
  for (std::int32_t begin = 0; begin < pattern.n_rows;) {
    const std::int32_t end = std::min(kRowsAtOnce, pattern.n_rows - begin) + begin;
    if (!turn_block(pattern, begin, end, next, cols)) {
      for (std::int32_t row = begin; row < end; ++row) {
        for (const std::int32_t col : pattern.row(row)) {
          cols[static_cast<std::size_t>(next[static_cast<std::size_t>(col)]++)] = row;
        }
      }
    }
    begin = end;
  }
  return Csr::trusted(pattern.n_cols, pattern.n_rows, std::move(offsets), std::move(cols));
}

bool is_symmetric(const CsrView& pattern) {
  if (!pattern.is_square()) return false;
  // Walks the pattern and its transpose in step without building the latter: when the pattern is
  // symmetric, the entries (i, j) seen in ascending i are row j's own columns in their order.
  std::vector<std::int64_t> next(pattern.row_offsets.begin(), pattern.row_offsets.end() - 1);
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    for (const std::int32_t col : pattern.row(row)) {
      auto& cursor = next[static_cast<std::size_t>(col)];
      if (cursor == pattern.row_offsets[static_cast<std::size_t>(col) + 1] ||
          pattern.col_indices[static_cast<std::size_t>(cursor)] != row) {
        return false;
      }
      ++cursor;
    }
  }
  return true;
}

Csr symmetrize(const CsrView& pattern, Diagonal diagonal) {
  require_square(pattern, "symmetrize");
  const Csr transposed = transpose(pattern);

  const auto for_row = [&](std::int32_t row, auto emit) {
    bool diagonal_due = diagonal == Diagonal::fill;
    merge_unique(pattern.row(row), transposed.view().row(row), [&](std::int32_t col) {
      if (col == row && diagonal == Diagonal::drop) return;
      if (diagonal_due && col >= row) {
        diagonal_due = false;
        if (col != row) emit(row);
      }
      emit(col);
    });
    if (diagonal_due) emit(row);
  };

  // Counting first costs a second merge and saves the memory of an upper bound.
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(pattern.n_rows) + 1);
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    std::int64_t count = 0;
    for_row(row, [&](std::int32_t) { ++count; });
    offsets[static_cast<std::size_t>(row) + 1] = offsets[static_cast<std::size_t>(row)] + count;
  }
  std::vector<std::int32_t> cols(static_cast<std::size_t>(offsets.back()));
  auto* out = cols.data();
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    for_row(row, [&](std::int32_t col) { *out++ = col; });
  }
  return Csr::trusted(pattern.n_rows, pattern.n_rows, std::move(offsets), std::move(cols));
}

Csr bipartite_graph(const CsrView& pattern) {
  require_vertices(pattern);
  const std::int32_t n = pattern.n_rows + pattern.n_cols;
  const Csr transposed = transpose(pattern);
  std::vector<std::int64_t> offsets(pattern.row_offsets.begin(), pattern.row_offsets.end());
  offsets.reserve(static_cast<std::size_t>(n) + 1);
  for (std::int32_t col = 0; col < pattern.n_cols; ++col) {
    offsets.push_back(offsets.back() + transposed.view().degree(col));
  }
  std::vector<std::int32_t> cols;
  cols.reserve(2 * pattern.col_indices.size());
  for (const std::int32_t col : pattern.col_indices) cols.push_back(pattern.n_rows + col);
  const auto rows = transposed.view().col_indices;
  cols.insert(cols.end(), rows.begin(), rows.end());
  return Csr::trusted(static_cast<std::int32_t>(n), static_cast<std::int32_t>(n),
                      std::move(offsets), std::move(cols));
}

Csr permute(const CsrView& pattern, const Ordering& ordering) {
  require_match(pattern, ordering);
  // Two transpositions sort in linear time: the first bucket pass puts the new rows, in order,
  // into new columns; transposing that gives new rows whose new columns are in order.
  const Permutation old_to_new = ordering.cols.inverse();
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(pattern.n_cols) + 1);
  for (const std::int32_t col : pattern.col_indices) {
    ++offsets[static_cast<std::size_t>(old_to_new[col]) + 1];
  }
  accumulate(offsets);
  std::vector<std::int64_t> next(offsets.begin(), offsets.end() - 1);
  std::vector<std::int32_t> rows(pattern.col_indices.size());
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    for (const std::int32_t col : pattern.row(ordering.rows[row])) {
      rows[static_cast<std::size_t>(next[static_cast<std::size_t>(old_to_new[col])]++)] = row;
    }
  }
  return transpose(
      Csr::trusted(pattern.n_cols, pattern.n_rows, std::move(offsets), std::move(rows)));
}

}  // namespace reorder

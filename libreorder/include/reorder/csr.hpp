// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace reorder {

struct Ordering;

/// A borrowed sparse 0/1 pattern in compressed-row form: row i allows the columns
/// `row(i)`. Rows are queries and columns keys when the pattern is an attention mask.
///
/// A view is well formed when `row_offsets` has `n_rows + 1` entries, starts at 0,
/// never decreases and ends at `col_indices.size()`, and each row's columns are
/// strictly increasing in [0, n_cols). `validate` checks all of this; functions
/// that take a CsrView assume it.
struct CsrView {
  std::int32_t n_rows = 0;
  std::int32_t n_cols = 0;
  std::span<const std::int64_t> row_offsets;
  std::span<const std::int32_t> col_indices;

  [[nodiscard]] std::int64_t nnz() const noexcept {
    return static_cast<std::int64_t>(col_indices.size());
  }
  [[nodiscard]] std::int64_t degree(std::int32_t row) const noexcept {
    return row_offsets[static_cast<std::size_t>(row) + 1] -
           row_offsets[static_cast<std::size_t>(row)];
  }
  [[nodiscard]] std::span<const std::int32_t> row(std::int32_t row) const noexcept {
    return col_indices.subspan(static_cast<std::size_t>(row_offsets[static_cast<std::size_t>(row)]),
                               static_cast<std::size_t>(degree(row)));
  }
  [[nodiscard]] bool is_square() const noexcept { return n_rows == n_cols; }
};

/// Throws Error{invalid_pattern} naming the first row, offset or column that breaks
/// the rules of CsrView. O(n_rows + nnz).
void validate(const CsrView& pattern);

/// An owned pattern; always well formed.
class Csr {
 public:
  Csr() : row_offsets_{0} {}

  /// Takes ownership and validates. Throws Error{invalid_pattern}.
  Csr(std::int32_t n_rows, std::int32_t n_cols, std::vector<std::int64_t> row_offsets,
      std::vector<std::int32_t> col_indices);

  /// From (row, column) pairs in any order; duplicates are merged. Throws
  /// Error{invalid_pattern} for a pair outside n_rows x n_cols. O(entries log row length).
  [[nodiscard]] static Csr from_entries(
      std::int32_t n_rows, std::int32_t n_cols,
      std::span<const std::pair<std::int32_t, std::int32_t>> entries);

  /// Takes ownership of arrays that are well formed by construction; checked in debug builds only.
  [[nodiscard]] static Csr trusted(std::int32_t n_rows, std::int32_t n_cols,
                                   std::vector<std::int64_t> row_offsets,
                                   std::vector<std::int32_t> col_indices);

  [[nodiscard]] CsrView view() const noexcept {
    return {n_rows_, n_cols_, row_offsets_, col_indices_};
  }
  operator CsrView() const noexcept { return view(); }  // NOLINT: a view is what callers want

  [[nodiscard]] std::int32_t n_rows() const noexcept { return n_rows_; }
  [[nodiscard]] std::int32_t n_cols() const noexcept { return n_cols_; }
  [[nodiscard]] std::int64_t nnz() const noexcept { return view().nnz(); }

 private:
  std::int32_t n_rows_ = 0;
  std::int32_t n_cols_ = 0;
  std::vector<std::int64_t> row_offsets_;
  std::vector<std::int32_t> col_indices_;
};

/// Columns become rows. O(n_rows + n_cols + nnz); the result is sorted.
[[nodiscard]] Csr transpose(const CsrView& pattern);

/// Whether entry (i, j) is present exactly when (j, i) is; false for rectangular patterns. O(nnz).
[[nodiscard]] bool is_symmetric(const CsrView& pattern);

/// What `symmetrize` does with the entries (i, i).
enum class Diagonal { keep, drop, fill };

/// The pattern of A + Aᵀ. Throws Error{invalid_argument} unless A is square.
[[nodiscard]] Csr symmetrize(const CsrView& pattern, Diagonal diagonal);

/// The bipartite graph of a pattern as a symmetric (n_rows + n_cols)² pattern: vertex i is
/// row i, vertex n_rows + j is column j. Throws Error{too_large} when the sum exceeds 2³¹ − 1.
[[nodiscard]] Csr bipartite_graph(const CsrView& pattern);

/// `result(i, j) = pattern(ordering.rows[i], ordering.cols[j])`, rows sorted again: leftover
/// order would leak the answer to any strategy that breaks ties by position. O(n + nnz). Throws
/// Error{invalid_argument} when the sizes differ.
[[nodiscard]] Csr permute(const CsrView& pattern, const Ordering& ordering);

}  // namespace reorder

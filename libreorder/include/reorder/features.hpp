// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "reorder/csr.hpp"

namespace reorder {

/// Degrees of the rows, or of the columns, that are not empty.
struct DegreeSpread {
  std::int64_t empty = 0;  ///< rows (columns) without an entry
  std::int64_t median = 0;
  std::int64_t max = 0;
  std::int64_t hubs = 0;  ///< above eight times the median

  friend bool operator==(const DegreeSpread&, const DegreeSpread&) = default;
};

/// What can be seen of a mask in a few passes, and what `auto` goes by. The shares are those of a
/// fixed sample of 1,000 entries; all else is exact.
struct MaskFeatures {
  std::int32_t n_rows = 0;
  std::int32_t n_cols = 0;
  std::int64_t nnz = 0;
  DegreeSpread rows;
  DegreeSpread cols;

  /// Parts with entries that share no row and no column; a square mask's row i and column i count
  /// as one.
  std::int32_t components = 0;

  /// Share of the entries (i, j) with (j, i) allowed as well: 1 for a symmetric mask, near 0 for a
  /// staircase, which stays one under any order of its tokens. 0 for a rectangular mask.
  double mirrored = 0;
  bool symmetric = false;  ///< equal degrees, and all of the sample is mirrored

  /// How much alike rows i and j are where (i, j) is an entry: the mean share of what they have in
  /// common, besides i and j, of the shorter one. Near 0 for an expander, whatever its order. 0 for
  /// a rectangular mask.
  double likeness = 0;

  double causal = 0;  ///< share with j <= i, in the order at hand
  /// Nine entries in ten lie this near to the diagonal from corner to corner, as a share of the
  /// columns, in the order at hand: near 0 for a band, about 0.7 for a shuffled mask.
  double band = 0;

  [[nodiscard]] bool square() const noexcept { return n_rows == n_cols; }

  friend bool operator==(const MaskFeatures&, const MaskFeatures&) = default;
};

/// O(n + nnz) time, O(n) memory.
[[nodiscard]] MaskFeatures look_at(const CsrView& mask);

/// "symmetric, 3 components, 64 hub rows and 64 hub columns, ...", for a report.
[[nodiscard]] std::string describe(const MaskFeatures& features);

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "reorder/csr.hpp"

namespace reorder {

struct LikeRowsOptions {
  /// Rows are alike when they share so much of the columns that they have together (Jaccard).
  double similarity = 0.5;
  /// Columns with more rows than this do not count.
  std::int64_t most_common = 0;
  /// Entries looked at; the rows that are left then are classes of their own.
  std::int64_t work_limit = 0;
};

struct RowClasses {
  std::int32_t count = 0;
  std::vector<std::int32_t> of;  ///< by row; numbered in the order of their first rows
};

/// Classes of rows that are like the first of them: the first row without a class takes all rows
/// without one that are like it. Where blocks of rows share most of their columns, classes are
/// these blocks. Work: the entries of the columns of each first row. After the 1-SA of Labini,
/// Bernaschi, Nutt, Silvestri, Vella, "Blocking sparse matrices to leverage dense-specific
/// multiplication", IA3 2022.
[[nodiscard]] RowClasses classes_of_like_rows(const CsrView& mask, const CsrView& transposed,
                                              const LikeRowsOptions& options);

}  // namespace reorder

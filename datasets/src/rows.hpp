// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "reorder/csr.hpp"

namespace masks {

/// No generator makes more entries than this: 32 GiB of column indices.
inline constexpr std::int64_t kMaxEntries = std::int64_t{1} << 33;

/// Throws Error{too_large} when a mask would have more than kMaxEntries entries. An estimate spares
/// the time and the memory of finding out.
void check_entries(double expected, std::string_view what);

/// One row as a union of runs of columns, in any order and overlapping as they come.
class Row {
 public:
  explicit Row(std::int32_t n_cols) : n_cols_(n_cols) {}

  /// The columns [begin, end), cut at the edges of the mask.
  void add(std::int64_t begin, std::int64_t end);

  /// One column; nothing when it lies outside.
  void add(std::int64_t column) { add(column, column + 1); }

 private:
  friend reorder::Csr build_rows(std::int32_t, std::int32_t,
                                 const std::function<void(std::int32_t, Row&)>&);
  struct Run {
    std::int32_t begin;
    std::int32_t end;
  };

  void clear() { runs_.clear(); }
  /// Sorts and joins the runs; the number of columns in them.
  std::int64_t join();
  void write(std::int32_t* columns) const;

  std::int32_t n_cols_;
  std::vector<Run> runs_;
};

/// Calls `describe(i, row)` for each row twice, to count and to fill, so that nothing but the
/// result is held. `describe` must say the same both times. Throws Error{too_large} beyond
/// kMaxEntries.
[[nodiscard]] reorder::Csr build_rows(std::int32_t n_rows, std::int32_t n_cols,
                                      const std::function<void(std::int32_t, Row&)>& describe);

struct Edge {
  std::int32_t a;
  std::int32_t b;
};

/// The symmetric pattern of an undirected graph, with its diagonal. Duplicate edges and loops do no
/// harm.
[[nodiscard]] reorder::Csr build_graph(std::int32_t n, std::span<const Edge> edges);

}  // namespace masks

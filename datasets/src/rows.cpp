// SPDX-License-Identifier: Apache-2.0
#include "rows.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <utility>

#include "reorder/error.hpp"

namespace masks {

void check_entries(double expected, std::string_view what) {
  if (expected <= static_cast<double>(kMaxEntries)) return;
  char number[32];
  std::snprintf(number, sizeof number, "%.3g", expected);
  throw reorder::Error(reorder::ErrorCode::too_large, std::string(what) + " would have " + number +
                                                          " entries, above the limit of " +
                                                          std::to_string(kMaxEntries));
}

void Row::add(std::int64_t begin, std::int64_t end) {
  begin = std::max<std::int64_t>(begin, 0);
  end = std::min<std::int64_t>(end, n_cols_);
  if (begin < end) {
    runs_.push_back({static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end)});
  }
}

std::int64_t Row::join() {
  const auto by_begin = [](const Run& x, const Run& y) { return x.begin < y.begin; };
  if (!std::is_sorted(runs_.begin(), runs_.end(), by_begin)) {
    std::sort(runs_.begin(), runs_.end(), by_begin);
  }
  std::int64_t count = 0;
  std::size_t kept = 0;
  for (const Run run : runs_) {
    if (kept > 0 && run.begin <= runs_[kept - 1].end) {
      const std::int32_t end = std::max(runs_[kept - 1].end, run.end);
      count += end - runs_[kept - 1].end;
      runs_[kept - 1].end = end;
    } else {
      count += run.end - run.begin;
      runs_[kept++] = run;
    }
  }
  runs_.resize(kept);
  return count;
}

void Row::write(std::int32_t* columns) const {
  for (const Run run : runs_) {
    std::iota(columns, columns + (run.end - run.begin), run.begin);
    columns += run.end - run.begin;
  }
}

reorder::Csr build_rows(std::int32_t n_rows, std::int32_t n_cols,
                        const std::function<void(std::int32_t, Row&)>& describe) {
  Row row(n_cols);
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(n_rows) + 1);
  offsets.push_back(0);
  for (std::int32_t i = 0; i < n_rows; ++i) {
    row.clear();
    describe(i, row);
    offsets.push_back(offsets.back() + row.join());
    if (offsets.back() > kMaxEntries) {
      throw reorder::Error(reorder::ErrorCode::too_large,
                           "the mask's first " + std::to_string(i + 1) + " of " +
                               std::to_string(n_rows) + " rows have more than the limit of " +
                               std::to_string(kMaxEntries) + " entries");
    }
  }
  std::vector<std::int32_t> columns(static_cast<std::size_t>(offsets.back()));
  for (std::int32_t i = 0; i < n_rows; ++i) {
    row.clear();
    describe(i, row);
    row.join();
    row.write(columns.data() + offsets[static_cast<std::size_t>(i)]);
  }
  return {n_rows, n_cols, std::move(offsets), std::move(columns)};
}

reorder::Csr build_graph(std::int32_t n, std::span<const Edge> edges) {
  const auto size = static_cast<std::size_t>(n);
  std::vector<std::int64_t> offsets(size + 1, 1);  // one for the diagonal
  offsets[0] = 0;
  for (const Edge edge : edges) {
    if (edge.a == edge.b) continue;
    ++offsets[static_cast<std::size_t>(edge.a) + 1];
    ++offsets[static_cast<std::size_t>(edge.b) + 1];
  }
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());

  std::vector<std::int32_t> columns(static_cast<std::size_t>(offsets.back()));
  std::vector<std::int64_t> next(offsets.begin(), offsets.end() - 1);
  const auto put = [&](std::int32_t row, std::int32_t column) {
    columns[static_cast<std::size_t>(next[static_cast<std::size_t>(row)]++)] = column;
  };
  for (std::int32_t i = 0; i < n; ++i) put(i, i);
  for (const Edge edge : edges) {
    if (edge.a == edge.b) continue;
    put(edge.a, edge.b);
    put(edge.b, edge.a);
  }

  // Sort each row, and close the gaps that duplicates leave.
  std::int64_t kept = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const auto begin = columns.begin() + offsets[i];
    const auto end = columns.begin() + next[i];
    std::sort(begin, end);
    const auto last = std::unique(begin, end);
    const auto target = columns.begin() + kept;
    offsets[i] = kept;
    kept += last - begin;
    if (target != begin) std::copy(begin, last, target);
  }
  offsets[size] = kept;
  columns.resize(static_cast<std::size_t>(kept));
  return {n, n, std::move(offsets), std::move(columns)};
}

}  // namespace masks

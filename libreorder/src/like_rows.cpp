// SPDX-License-Identifier: Apache-2.0
#include "like_rows.hpp"

#include <cstddef>

namespace reorder {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

RowClasses classes_of_like_rows(const CsrView& mask, const CsrView& transposed,
                                const LikeRowsOptions& options) {
  const auto counts = [&](std::int32_t col) {
    return transposed.degree(col) <= options.most_common;
  };
  std::vector<std::int32_t> degree(at(mask.n_rows));  // of columns that count
  for (std::int32_t row = 0; row < mask.n_rows; ++row) {
    for (const std::int32_t col : mask.row(row)) degree[at(row)] += counts(col);
  }

  RowClasses classes{.of = std::vector<std::int32_t>(at(mask.n_rows), -1)};
  std::vector<std::int32_t> shared(at(mask.n_rows));
  std::vector<std::int32_t> touched;
  std::int32_t class_of_empty = -1;
  std::int64_t work = 0;
  for (std::int32_t first = 0; first < mask.n_rows; ++first) {
    if (classes.of[at(first)] >= 0) continue;
    if (degree[at(first)] == 0) {
      if (class_of_empty < 0) class_of_empty = classes.count++;
      classes.of[at(first)] = class_of_empty;
      continue;
    }
    const std::int32_t own = classes.count++;
    classes.of[at(first)] = own;
    if (work > options.work_limit) continue;
    for (const std::int32_t col : mask.row(first)) {
      if (!counts(col)) continue;
      work += transposed.degree(col);
      for (const std::int32_t row : transposed.row(col)) {
        if (shared[at(row)]++ == 0) touched.push_back(row);
      }
    }
    for (const std::int32_t row : touched) {
      const double together = degree[at(first)] + degree[at(row)] - shared[at(row)];
      if (classes.of[at(row)] < 0 && shared[at(row)] >= options.similarity * together) {
        classes.of[at(row)] = own;
      }
      shared[at(row)] = 0;
    }
    touched.clear();
  }
  return classes;
}

}  // namespace reorder

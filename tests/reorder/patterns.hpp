// SPDX-License-Identifier: Apache-2.0
//
// Small patterns that a reader can draw, and counting by brute force.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/objective.hpp"
#include "reorder/permutation.hpp"

namespace reorder::testing {

using Entries = std::vector<std::pair<std::int32_t, std::int32_t>>;

/// An undirected graph's entries: both directions of each edge, and the diagonal.
inline Entries undirected(std::int32_t n, const Entries& edges) {
  Entries entries;
  for (std::int32_t i = 0; i < n; ++i) entries.emplace_back(i, i);
  for (const auto& [a, b] : edges) {
    entries.emplace_back(a, b);
    entries.emplace_back(b, a);
  }
  return entries;
}

inline Entries path_entries(std::int32_t n) {
  Entries edges;
  for (std::int32_t i = 1; i < n; ++i) edges.emplace_back(i - 1, i);
  return undirected(n, edges);
}

/// Vertex (x, y) of a width x height grid is y·width + x.
inline Entries grid_entries(std::int32_t width, std::int32_t height) {
  Entries edges;
  for (std::int32_t v = 0; v < width * height; ++v) {
    if (v % width + 1 < width) edges.emplace_back(v, v + 1);
    if (v + width < width * height) edges.emplace_back(v, v + width);
  }
  return undirected(width * height, edges);
}

inline Csr path(std::int32_t n) {
  return Csr::from_entries(n, n, path_entries(n));
}
inline Csr grid(std::int32_t width, std::int32_t height) {
  return Csr::from_entries(width * height, width * height, grid_entries(width, height));
}

inline Entries random_entries(std::int32_t n_rows, std::int32_t n_cols, int count,
                              std::uint32_t seed) {
  std::mt19937 random(seed);
  Entries entries;
  for (int i = 0; i < count; ++i) {
    entries.emplace_back(random() % static_cast<std::uint32_t>(n_rows),
                         random() % static_cast<std::uint32_t>(n_cols));
  }
  return entries;
}

inline Csr random_pattern(std::int32_t n_rows, std::int32_t n_cols, int count, std::uint32_t seed) {
  return Csr::from_entries(n_rows, n_cols, random_entries(n_rows, n_cols, count, seed));
}

inline Permutation random_permutation(std::int32_t n, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  for (std::int32_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  return Permutation(std::move(order));
}

/// The ordered pattern as a matrix of 0 and 1.
inline std::vector<std::vector<int>> dense(const CsrView& pattern, const Ordering& ordering) {
  std::vector<std::vector<int>> original(
      static_cast<std::size_t>(pattern.n_rows),
      std::vector<int>(static_cast<std::size_t>(pattern.n_cols)));
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    for (const std::int32_t col : pattern.row(row)) {
      original[static_cast<std::size_t>(row)][static_cast<std::size_t>(col)] = 1;
    }
  }
  auto result = original;
  for (std::int32_t i = 0; i < pattern.n_rows; ++i) {
    for (std::int32_t j = 0; j < pattern.n_cols; ++j) {
      result[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] =
          original[static_cast<std::size_t>(ordering.rows[i])]
                  [static_cast<std::size_t>(ordering.cols[j])];
    }
  }
  return result;
}

inline std::vector<std::vector<int>> dense(const CsrView& pattern) {
  return dense(pattern, Ordering::identity(pattern.n_rows, pattern.n_cols));
}

inline std::vector<std::int32_t> to_vector(const Permutation& permutation) {
  return {permutation.new_to_old().begin(), permutation.new_to_old().end()};
}

}  // namespace reorder::testing

// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "hash.hpp"
#include "strategies/make.hpp"

namespace reorder {
namespace {

/// Rows (or columns) gathered in classes of equal ones. Classes are numbered by their first
/// members.
struct Classes {
  std::vector<std::int32_t> first;    ///< by class: the member that stands for it
  std::vector<std::int32_t> of;       ///< by member: its class
  std::vector<std::int32_t> offsets;  ///< into `members`, by class
  std::vector<std::int32_t> members;  ///< ascending within a class

  /// Each class in the place of its representative, members together.
  [[nodiscard]] Permutation expand(const Permutation& order) const {
    std::vector<std::int32_t> expanded;
    expanded.reserve(members.size());
    for (const std::int32_t representative : order.new_to_old()) {
      const auto k = static_cast<std::size_t>(representative);
      expanded.insert(expanded.end(), members.begin() + offsets[k],
                      members.begin() + offsets[k + 1]);
    }
    return Permutation(std::move(expanded));
  }
};

Classes classes_of_equal(const std::vector<std::uint64_t>& signatures) {
  Classes classes;
  classes.of.reserve(signatures.size());
  std::unordered_map<std::uint64_t, std::int32_t> known;
  known.reserve(signatures.size());
  for (std::size_t i = 0; i < signatures.size(); ++i) {
    const auto [entry, is_new] =
        known.emplace(signatures[i], static_cast<std::int32_t>(classes.first.size()));
    if (is_new) classes.first.push_back(static_cast<std::int32_t>(i));
    classes.of.push_back(entry->second);
  }
  classes.offsets.resize(classes.first.size() + 1);
  for (const std::int32_t k : classes.of) ++classes.offsets[static_cast<std::size_t>(k) + 1];
  for (std::size_t k = 1; k < classes.offsets.size(); ++k) {
    classes.offsets[k] += classes.offsets[k - 1];
  }
  classes.members.resize(classes.of.size());
  std::vector<std::int32_t> next(classes.offsets.begin(), classes.offsets.end() - 1);
  for (std::size_t i = 0; i < classes.of.size(); ++i) {
    classes.members[static_cast<std::size_t>(next[static_cast<std::size_t>(classes.of[i])]++)] =
        static_cast<std::int32_t>(i);
  }
  return classes;
}

/// Sums of hashes, one for each row and column: equal sets have equal sums. Different sets with
/// equal sums (one pair in 2^64) would only be grouped in vain, never lost.
std::pair<Classes, Classes> equal_rows_and_columns(const CsrView& mask) {
  std::vector<std::uint64_t> rows(static_cast<std::size_t>(mask.n_rows));
  std::vector<std::uint64_t> cols(static_cast<std::size_t>(mask.n_cols));
  std::vector<std::uint64_t> hash_of(cols.size());
  for (std::size_t j = 0; j < cols.size(); ++j) hash_of[j] = hash_index(j);
  for (std::int32_t row = 0; row < mask.n_rows; ++row) {
    const std::uint64_t row_hash = hash_index(static_cast<std::uint64_t>(row), 1);
    std::uint64_t sum = 0;
    for (const std::int32_t col : mask.row(row)) {
      sum += hash_of[static_cast<std::size_t>(col)];
      cols[static_cast<std::size_t>(col)] += row_hash;
    }
    rows[static_cast<std::size_t>(row)] = sum;
  }
  return {classes_of_equal(rows), classes_of_equal(cols)};
}

/// The mask of the representatives.
Csr quotient(const CsrView& mask, const Classes& rows, const Classes& cols) {
  const auto n_cols = static_cast<std::int32_t>(cols.first.size());
  std::vector<std::int64_t> offsets{0};
  offsets.reserve(rows.first.size() + 1);
  std::vector<std::int32_t> indices;
  const bool all_cols = n_cols == mask.n_cols;
  std::int64_t bound = 0;
  for (const std::int32_t row : rows.first) bound += mask.degree(row);
  indices.reserve(static_cast<std::size_t>(bound));
  for (const std::int32_t row : rows.first) {
    if (all_cols) {
      indices.insert(indices.end(), mask.row(row).begin(), mask.row(row).end());
    } else {
      for (const std::int32_t col : mask.row(row)) {
        const std::int32_t k = cols.of[static_cast<std::size_t>(col)];
        // Classes are numbered by their representatives, so the indices stay sorted.
        if (cols.first[static_cast<std::size_t>(k)] == col) indices.push_back(k);
      }
    }
    offsets.push_back(static_cast<std::int64_t>(indices.size()));
  }
  return Csr::trusted(static_cast<std::int32_t>(rows.first.size()), n_cols, std::move(offsets),
                      std::move(indices));
}

}  // namespace

StrategyPtr make_signature() {
  return make_reduction(
      {.name = "signature",
       .summary = "merges identical rows and identical columns for the stage behind it",
       .citation = "Ashcraft, Compressed graphs and the minimum degree algorithm, SISC 16 (1995)"},
      [](const CsrView& mask, const Params&, const Context&) -> Reduction::Reduced {
        auto [rows, cols] = equal_rows_and_columns(mask);
        Csr reduced = quotient(mask, rows, cols);
        const bool same = mask.is_square() && rows.of == cols.of;
        return {std::move(reduced),
                [rows = std::move(rows), cols = std::move(cols), same](const Ordering& inner) {
                  if (same && inner.symmetric) return Ordering::same(rows.expand(inner.rows));
                  return Ordering{rows.expand(inner.rows), cols.expand(inner.cols), false};
                }};
      });
}

}  // namespace reorder

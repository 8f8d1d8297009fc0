// SPDX-License-Identifier: Apache-2.0
//
// What graph orderings share: the undirected graph behind a mask, degrees, components.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/permutation.hpp"

namespace reorder {

/// The undirected graph that a graph ordering works on: the pattern of A + Aᵀ for a square mask,
/// the bipartite graph of rows and columns for a rectangular one.
class MaskGraph {
 public:
  /// Borrows `mask` where it already is such a graph; it must outlive this.
  MaskGraph(const CsrView& mask, Diagonal diagonal);

  [[nodiscard]] const CsrView& view() const noexcept { return view_; }

  /// From an order of the vertices to one of the mask: rows and columns alike when it is square,
  /// each in the order of its vertices when not.
  [[nodiscard]] Ordering to_ordering(std::vector<std::int32_t> vertices) const;

 private:
  CsrView mask_;
  std::optional<Csr> owned_;
  CsrView view_;
};

/// Throws Error{too_large} unless rows and columns can be numbered together.
void require_vertices(const CsrView& mask);

/// From an order of the vertices of the bipartite graph (rows, then columns) to one of the mask:
/// rows and columns each in the order of their vertices.
[[nodiscard]] Ordering split_vertices(const CsrView& mask, const std::vector<std::int32_t>& order);

/// Whether a square pattern is symmetric, several times as fast as is_symmetric; no is certain, yes
/// is wrong with a chance of about 2⁻⁶⁰. For callers to whom a wrong yes does no harm.
/// O(n + nnz), in the spirit of Freivalds, "Probabilistic machines can use less running time",
/// 1977.
[[nodiscard]] bool is_symmetric_by_fingerprint(const CsrView& pattern);

/// Entries of each row.
[[nodiscard]] std::vector<std::int32_t> row_degrees(const CsrView& pattern);

/// Entries of each column.
[[nodiscard]] std::vector<std::int32_t> col_degrees(const CsrView& pattern);

/// Neighbours of each vertex other than itself.
[[nodiscard]] std::vector<std::int32_t> graph_degrees(const CsrView& graph);

/// Vertices by ascending key, equal keys by index. Linear in their number and the largest key;
/// keys must not be negative.
[[nodiscard]] std::vector<std::int32_t> sorted_by_key(const std::vector<std::int32_t>& keys);

/// The row offsets in 32 bits, for a library that counts entries in them. Throws Error{too_large}
/// in that library's name.
[[nodiscard]] std::vector<std::int32_t> narrow_offsets(const CsrView& pattern, const char* library);

struct Components {
  std::int32_t count = 0;
  std::vector<std::int32_t> of;  ///< by vertex; numbered in the order of their first vertices
};

/// Connected components of the undirected graph behind a mask, which is not built: vertices are
/// the tokens of a square mask, else the rows and behind them the columns. O(nnz log n) at worst,
/// linear in practice.
[[nodiscard]] Components connected_components(const CsrView& mask);

}  // namespace reorder

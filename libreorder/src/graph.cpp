// SPDX-License-Identifier: Apache-2.0
#include "graph.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "random.hpp"
#include "reorder/error.hpp"

namespace reorder {
namespace {

bool has_diagonal_as_wanted(const CsrView& pattern, Diagonal diagonal) {
  if (diagonal == Diagonal::keep) return true;
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    const auto cols = pattern.row(row);
    if (std::binary_search(cols.begin(), cols.end(), row) != (diagonal == Diagonal::fill)) {
      return false;
    }
  }
  return true;
}

}  // namespace

MaskGraph::MaskGraph(const CsrView& mask, Diagonal diagonal) : mask_(mask), view_(mask) {
  if (!mask.is_square()) {
    owned_ = bipartite_graph(mask);
    // A bipartite graph has no loops, so that keep and drop are one.
    if (diagonal == Diagonal::fill) owned_ = symmetrize(*owned_, diagonal);
  } else if (!has_diagonal_as_wanted(mask, diagonal) || !is_symmetric(mask)) {
    owned_ = symmetrize(mask, diagonal);
  }
  if (owned_) view_ = owned_->view();
}

Ordering MaskGraph::to_ordering(std::vector<std::int32_t> vertices) const {
  if (mask_.is_square()) return Ordering::same(Permutation(std::move(vertices)));
  return split_vertices(mask_, vertices);
}

void require_vertices(const CsrView& mask) {
  constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();
  const std::int64_t n = std::int64_t{mask.n_rows} + mask.n_cols;
  if (n > kLimit) {
    throw Error(ErrorCode::too_large, "the bipartite graph of a " + std::to_string(mask.n_rows) +
                                          " x " + std::to_string(mask.n_cols) + " pattern has " +
                                          std::to_string(n) + " vertices; the limit is " +
                                          std::to_string(kLimit));
  }
}

Ordering split_vertices(const CsrView& mask, const std::vector<std::int32_t>& order) {
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> cols;
  rows.reserve(static_cast<std::size_t>(mask.n_rows));
  cols.reserve(static_cast<std::size_t>(mask.n_cols));
  for (const std::int32_t vertex : order) {
    if (vertex < mask.n_rows) {
      rows.push_back(vertex);
    } else {
      cols.push_back(vertex - mask.n_rows);
    }
  }
  return {Permutation(std::move(rows)), Permutation(std::move(cols)), false};
}

bool is_symmetric_by_fingerprint(const CsrView& pattern) {
  if (!pattern.is_square()) return false;
  // With random u and v, Σ over entries of uᵢvⱼ − vᵢuⱼ (mod 2⁶⁴) vanishes when the pattern is
  // symmetric, and else only by chance. It looks up two numbers an entry, side by side, where the
  // exact test jumps through the pattern.
  struct Weights {
    std::uint64_t u;
    std::uint64_t v;
  };
  Random random(0x5ca1ab1e);
  std::vector<Weights> weights(static_cast<std::size_t>(pattern.n_rows));
  for (Weights& weight : weights) weight = {random.next(), random.next()};
  std::uint64_t fingerprint = 0;
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    Weights sum{0, 0};
    for (const std::int32_t col : pattern.row(row)) {
      const Weights& weight = weights[static_cast<std::size_t>(col)];
      sum.u += weight.u;
      sum.v += weight.v;
    }
    const Weights& own = weights[static_cast<std::size_t>(row)];
    fingerprint += own.u * sum.v - own.v * sum.u;
  }
  return fingerprint == 0;
}

std::vector<std::int32_t> row_degrees(const CsrView& pattern) {
  std::vector<std::int32_t> degrees(static_cast<std::size_t>(pattern.n_rows));
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    degrees[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(pattern.degree(row));
  }
  return degrees;
}

std::vector<std::int32_t> col_degrees(const CsrView& pattern) {
  std::vector<std::int32_t> degrees(static_cast<std::size_t>(pattern.n_cols));
  for (const std::int32_t col : pattern.col_indices) ++degrees[static_cast<std::size_t>(col)];
  return degrees;
}

std::vector<std::int32_t> graph_degrees(const CsrView& graph) {
  std::vector<std::int32_t> degrees = row_degrees(graph);
  for (std::int32_t v = 0; v < graph.n_rows; ++v) {
    const auto neighbours = graph.row(v);
    degrees[static_cast<std::size_t>(v)] -=
        std::binary_search(neighbours.begin(), neighbours.end(), v);
  }
  return degrees;
}

std::vector<std::int32_t> sorted_by_key(const std::vector<std::int32_t>& keys) {
  if (keys.empty()) return {};
  const std::int32_t largest = *std::max_element(keys.begin(), keys.end());
  std::vector<std::int32_t> next(static_cast<std::size_t>(largest) + 2);
  for (const std::int32_t key : keys) ++next[static_cast<std::size_t>(key) + 1];
  for (std::size_t key = 1; key < next.size(); ++key) next[key] += next[key - 1];
  std::vector<std::int32_t> order(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    order[static_cast<std::size_t>(next[static_cast<std::size_t>(keys[i])]++)] =
        static_cast<std::int32_t>(i);
  }
  return order;
}

std::vector<std::int32_t> narrow_offsets(const CsrView& pattern, const char* library) {
  constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();
  if (pattern.nnz() > kLimit) {
    throw Error(ErrorCode::too_large, std::string(library) + " takes at most " +
                                          std::to_string(kLimit) + " entries, but there are " +
                                          std::to_string(pattern.nnz()));
  }
  std::vector<std::int32_t> offsets(pattern.row_offsets.size());
  std::transform(pattern.row_offsets.begin(), pattern.row_offsets.end(), offsets.begin(),
                 [](std::int64_t offset) { return static_cast<std::int32_t>(offset); });
  return offsets;
}

Components connected_components(const CsrView& mask) {
  const bool square = mask.is_square();
  if (!square) require_vertices(mask);
  const std::size_t n =
      static_cast<std::size_t>(mask.n_rows) + (square ? 0 : static_cast<std::size_t>(mask.n_cols));
  std::vector<std::int32_t> parent(n);
  std::iota(parent.begin(), parent.end(), 0);
  // Union-find with path halving; the smaller vertex stands for both.
  const auto root = [&](std::int32_t v) {
    const auto of = [&](std::int32_t u) -> std::int32_t& {
      return parent[static_cast<std::size_t>(u)];
    };
    while (of(v) != v) v = of(v) = of(of(v));
    return v;
  };
  for (std::int32_t row = 0; row < mask.n_rows; ++row) {
    for (const std::int32_t col : mask.row(row)) {
      const std::int32_t a = root(row);
      const std::int32_t b = root(square ? col : mask.n_rows + col);
      parent[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
    }
  }
  Components components{.of = std::vector<std::int32_t>(n)};
  for (std::size_t v = 0; v < n; ++v) {
    const auto first = static_cast<std::size_t>(root(static_cast<std::int32_t>(v)));
    // The root is the smallest member, so it has been numbered before the others.
    components.of[v] = first == v ? components.count++ : components.of[first];
  }
  return components;
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
//
// METIS behind one door: checked sizes, one lock, errors instead of codes. Defined only where the
// build has METIS.
#pragma once

#include <cstdint>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/strategy.hpp"

namespace reorder::metis {

enum class Method { kway, recursive_bisection };

/// Nested dissection of an undirected graph without loops; new_to_old.
[[nodiscard]] std::vector<std::int32_t> nested_dissection(const CsrView& graph, std::uint64_t seed);

/// What is cut in parts.
enum class Vertices {
  mask_graph,        ///< tokens of A + Aᵀ when the mask is square, else rows and columns
  rows_and_columns,  ///< the bipartite graph in any case: rows and columns each in an order of its
                     ///< own
};

/// An ordering that lays the parts of a partition out as consecutive runs, the order inside a part
/// as it was. `parts` of 0 means one part for each row or column of tiles, whichever are more.
/// Rows and columns, where they are vertices of their own, are balanced apart.
[[nodiscard]] Ordering order_by_parts(const CsrView& mask, Method method, Vertices vertices,
                                      std::int64_t parts, const Context& context);

}  // namespace reorder::metis

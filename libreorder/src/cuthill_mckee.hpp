// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "reorder/csr.hpp"

namespace reorder {

// The reverse Cuthill-McKee order (new_to_old) of an undirected graph, each component from a
// pseudo-peripheral vertex, components by the smallest degree in them. Ties go by degree, then by
// index. Loops count for nothing. O(nnz + n log n): a breadth-first search to measure the component
// and one for each start that is tried, two as a rule.
//
// Sources: Cuthill and McKee, ACM '69; George, 1971; the start: George and Liu, "An implementation
// of a pseudoperipheral node finder", TOMS 5 (1979).

/// Of a graph whose pattern is symmetric.
[[nodiscard]] std::vector<std::int32_t> reverse_cuthill_mckee(const CsrView& graph);

/// Of A + Aᵀ for a square A, given both, without building the sum.
[[nodiscard]] std::vector<std::int32_t> reverse_cuthill_mckee(const CsrView& a,
                                                              const CsrView& a_transposed);

/// Of the bipartite graph of a pattern, given the pattern and its transpose: vertex i is row i,
/// vertex n_rows + j is column j. The graph is not built.
[[nodiscard]] std::vector<std::int32_t> bipartite_reverse_cuthill_mckee(const CsrView& pattern,
                                                                        const CsrView& transposed);

}  // namespace reorder

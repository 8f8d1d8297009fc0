// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "reorder/csr.hpp"

namespace reorder {

/// The reverse Cuthill-McKee order (new_to_old) of an undirected graph, each component from a
/// pseudo-peripheral vertex, components by the smallest degree in them. Ties go by degree, then by
/// index. O(nnz + n log n); the breadth-first searches for the start add O(nnz) each, two or
/// three as a rule.
///
/// Sources: Cuthill and McKee, ACM '69; George, 1971; the start: George and Liu, "An
/// implementation of a pseudoperipheral node finder", TOMS 5 (1979).
[[nodiscard]] std::vector<std::int32_t> reverse_cuthill_mckee(const CsrView& graph);

}  // namespace reorder

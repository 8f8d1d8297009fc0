// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "reorder/csr.hpp"

namespace reorder {

struct MultilevelOptions {
  std::int32_t group = 128;  ///< rows of a part; the last one has what is left
  int rounds = 4;            ///< of local search on each level
  std::uint64_t seed = 0;
  int threads = 1;
};

/// Rows in parts of exactly `group` rows, so that the parts together touch few columns: the
/// connectivity metric of the hypergraph whose vertices are the rows and whose nets are the
/// columns, which is the number of keys that row tiles gather. Returns the order of the rows,
/// new_to_old, part after part.
///
/// Multilevel: rows that share rare columns are paired, and pairs again, to bundles of a sixteenth
/// of a part; the bundles are filled into parts greedily; then each level from the coarsest down
/// moves and exchanges its bundles. The same for any number of threads. O((nnz + n log n) · rounds)
/// times the 16 parts that a move looks at. Source: Catalyurek and Aykanat,
/// "Hypergraph-partitioning-based decomposition for parallel sparse-matrix vector multiplication",
/// TPDS 10 (1999).
[[nodiscard]] std::vector<std::int32_t> multilevel_parts(const CsrView& mask,
                                                         const MultilevelOptions& options);

}  // namespace reorder

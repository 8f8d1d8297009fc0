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

/// An ordering that lays the parts of a partition out as consecutive runs, the order inside a part
/// as it was. `parts` of 0 means one part for each row or column of tiles, whichever are more.
/// The rows and the columns of a rectangular mask are balanced apart.
[[nodiscard]] Ordering order_by_parts(const CsrView& mask, Method method, std::int64_t parts,
                                      const Context& context);

}  // namespace reorder::metis

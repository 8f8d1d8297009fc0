// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>

#include "reorder/csr.hpp"
#include "reorder/objective.hpp"
#include "reorder/permutation.hpp"

namespace reorder {

struct AnnealOptions {
  std::int32_t parts = 2;          ///< bundles that a tile's rows, and its columns, are cut into
  double moves_per_bundle = 4000;  ///< fewer where bundles are few
  double hot = 0.5;                ///< temperature at the beginning, in prices of the dearest tile
  double cold = 0.1;               ///< and at the end
  /// Bound on `Annealed::work`; there are fewer moves where it would be passed.
  std::int64_t work_limit = std::numeric_limits<std::int64_t>::max();
  std::uint64_t seed = 0;
};

struct Annealed {
  Ordering ordering;
  double before = 0;      ///< the objective in the mask's own order
  double after = 0;       ///< never above `before`
  std::int64_t work = 0;  ///< entries and counts looked at
};

/// Simulated annealing of bundles: the mask's own order is cut into bundles of neighbouring rows
/// and of neighbouring columns, `parts` to a tile, and pairs of bundles exchange places. Bundles
/// few enough make the problem small enough for thousands of moves each, on both sides at once,
/// where moves of single rows have to be greedy.
///
/// Counts of all pairs of tiles are held in memory: a mask of more than 2^26 tiles keeps its order.
/// `gather` moves rows alone. Source: Kirkpatrick, Gelatt, Vecchi, "Optimization by simulated
/// annealing", Science 220 (1983).
[[nodiscard]] Annealed anneal(const CsrView& mask, const Objective& objective,
                              const AnnealOptions& options);

}  // namespace reorder

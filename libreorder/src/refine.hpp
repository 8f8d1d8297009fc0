// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>

#include "reorder/csr.hpp"
#include "reorder/objective.hpp"
#include "reorder/permutation.hpp"

namespace reorder {

struct RefineOptions {
  int rounds = 8;  ///< 0 exchanges bundles of like rows alone, for masks of millions of entries
  /// How far the first rounds look beyond the objective: in them a tile of c entries costs
  /// 1 - (1 - 1/smoothing)^c, so that a tile is emptied entry by entry. 0 chooses by the mean
  /// number of entries in a tile; 1 is the objective itself from the start.
  double smoothing = 0;
  /// Bound on `Refined::work`; there are fewer rounds where it would be passed.
  std::int64_t work_limit = std::numeric_limits<std::int64_t>::max();
  std::uint64_t seed = 0;
  int threads = 1;
  /// Asked between turns; once it says yes the search comes to its end. May be empty.
  std::function<bool()> stop{};
};

struct Refined {
  Ordering ordering;
  double before = 0;      ///< the objective in the mask's own order
  double after = 0;       ///< never above `before`
  int rounds = 0;         ///< that the work limit allowed
  bool searched = false;  ///< at least bundles were exchanged
  std::int64_t work = 0;  ///< entries and prices looked at; the same for any number of threads
};

/// Local search on the objective itself, from the mask's own order.
///
/// Rows and columns take turns: while the columns stand still, tiles of different rows do not
/// interact, so that rows move between row tiles independently in many places at once; then the
/// mask is turned over. The first rounds minimise a smoothed objective that rewards filling tiles
/// already full and emptying those nearly empty; the smoothing fades out. Tiles may be a few rows
/// over or under in between. At the end sizes are made exact, and bundles of 64, 16 and 4 like
/// rows, then single rows, are exchanged in pairs.
///
/// What moving rows costs is left out: the mask is somebody's reordered one.
///
/// `tiles`, `tiles_min` and `cost_model` search over both sides, `gather` over rows. The result
/// depends on mask, objective and options without `threads`. Memory O(n + nnz).
[[nodiscard]] Refined refine(const CsrView& mask, const Objective& objective,
                             const RefineOptions& options);

}  // namespace reorder

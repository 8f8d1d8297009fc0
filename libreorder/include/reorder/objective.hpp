// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/permutation.hpp"

namespace reorder {

/// The tile shape that the attention kernel uses: block_m queries by block_n keys.
struct Tile {
  std::int32_t rows = 128;
  std::int32_t cols = 128;

  friend bool operator==(const Tile&, const Tile&) = default;
};

/// Throws Error{invalid_argument} unless both sides are in [1, 65536].
void validate(const Tile& tile);

/// What a tiled kernel has to visit. A tile at the ragged edge is full when all its
/// elements inside the mask are present.
struct TileCounts {
  Tile tile;
  std::int64_t tile_rows = 0;  ///< ⌈n_rows / tile.rows⌉
  std::int64_t tile_cols = 0;
  std::int64_t nonempty = 0;
  std::int64_t full = 0;
  std::int64_t max_per_row = 0;  ///< non-empty tiles of the heaviest row of tiles
  std::int64_t nnz = 0;

  [[nodiscard]] std::int64_t total() const noexcept { return tile_rows * tile_cols; }
  [[nodiscard]] std::int64_t partial() const noexcept { return nonempty - full; }
  /// Share of the visited elements that are present, in [0, 1]; 1 for an empty mask. Tiles at
  /// the ragged edge count as whole: the kernel pays for them whole.
  [[nodiscard]] double fill() const noexcept;
  /// Heaviest row of tiles over the mean; 1 is perfectly balanced, 0 for an empty mask.
  [[nodiscard]] double imbalance() const noexcept;
};

/// Counts the tiles of `pattern` under `ordering` from the CSR alone.
/// O(n_rows + nnz) time, O(n_cols) memory; never permutes or densifies. Throws
/// Error{invalid_argument} for a tile shape out of range or an ordering of another size.
[[nodiscard]] TileCounts count_tiles(const CsrView& pattern, const Ordering& ordering, Tile tile);

/// The same in the pattern's own order.
[[nodiscard]] TileCounts count_tiles(const CsrView& pattern, Tile tile);

/// One row of tiles.
struct TileRowCounts {
  std::int64_t nonempty = 0;
  std::int64_t full = 0;
};

/// The same row of tiles by row of tiles, from the top.
[[nodiscard]] std::vector<TileRowCounts> count_tile_rows(const CsrView& pattern,
                                                         const Ordering& ordering, Tile tile);

/// No pair of permutations has fewer non-empty tiles than this: the largest of
/// ⌈nnz / (BM·BN)⌉, Σₖ ⌈d(k·BM) / BN⌉ over the rows sorted by degree d, largest first,
/// and the same over columns. O(n log n + nnz).
[[nodiscard]] std::int64_t tile_lower_bound(const CsrView& pattern, Tile tile);

/// Envelope measures, as bandwidth-reducing orderings report them. O(n + nnz); throws as evaluate.
struct EnvelopeStats {
  std::int64_t bandwidth = 0;  ///< max |i − j| over entries
  std::int64_t profile = 0;    ///< Σᵢ (i − first column ≤ i of row i)
};
[[nodiscard]] EnvelopeStats envelope(const CsrView& pattern, const Ordering& ordering);

/// What an ordering should minimise. Written as it is parsed, later coefficients optional:
/// "tiles{128,128}", "gather{128,128}", "tiles_min{128,128,theta=16,lambda=0.01}",
/// "cost_model{128,128,t_full=1,t_partial=1.2,t_row=0.5,t_gather=0.001}",
/// "cost_model{192,128,t_full=1,t_partial=1,t_row=6,part_rows=64,part_cols=64,t_tile=2}".
struct Objective {
  enum class Kind {
    tiles,   ///< non-empty tiles
    gather,  ///< Σ over row tiles of ⌈distinct keys / tile.cols⌉: keys gathered per row tile
    tiles_min,  ///< tiles with ≥ theta entries, + lambda per entry left in the others
    /// t_full·full + t_partial·partial + t_row·(row tiles) + t_gather·(rows of Q, K, V, O moved):
    /// 2·n_rows unless the rows keep their order, and 2·n_cols unless the columns do, both without
    /// those in boxes. With parts, full and partial count the parts of tiles, and every non-empty
    /// tile costs t_tile besides.
    cost_model,
  };

  Kind kind = Kind::tiles;
  Tile tile;
  std::int64_t theta = 1;  ///< entries, of tiles_min
  double lambda = 0;       ///< tiles an entry, of tiles_min
  double t_full = 1;       ///< of cost_model, as the three below; a calibration counts in ms
  double t_partial = 1;
  double t_row = 0;
  double t_gather = 0;
  Tile part{0, 0};    ///< of cost_model: what is passed over within a tile; {0, 0}: nothing
  double t_tile = 0;  ///< of cost_model with parts
  /// Of cost_model: a kernel may load `box` rows r, r + s, r + 2 s, ... that stand side by side in
  /// the order where they lie, with s = 1 or the order's most common stride, provided that at
  /// least half of its rows are in such boxes. 1: every row is moved.
  std::int64_t box = 1;

  [[nodiscard]] bool has_parts() const noexcept { return part.rows != 0; }
  [[nodiscard]] static Objective tiles(Tile tile) { return {Kind::tiles, tile}; }

  friend bool operator==(const Objective&, const Objective&) = default;
};

/// Throws Error{invalid_argument} for a tile or a coefficient out of range.
void validate(const Objective& objective);

/// Throws Error{syntax} for text that is no objective and Error{invalid_argument} for a
/// coefficient out of range.
[[nodiscard]] Objective parse_objective(std::string_view text);
[[nodiscard]] std::string to_string(const Objective& objective);

/// The objective's value; lower is better. O(n_rows + nnz). Throws as `validate` and `count_tiles`.
[[nodiscard]] double evaluate(const Objective& objective, const CsrView& pattern,
                              const Ordering& ordering);

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "prefetch.hpp"
#include "reorder/csr.hpp"
#include "reorder/objective.hpp"
#include "reorder/permutation.hpp"
#include "runs.hpp"

namespace reorder {

/// One row of tiles of an ordered pattern, as `for_each_tile_row` shows it.
struct TileRow {
  std::int64_t index = 0;               ///< which row of tiles
  std::int64_t n_rows = 0;              ///< rows of the pattern in it; fewer at the ragged edge
  std::span<const std::int32_t> tiles;  ///< its non-empty tiles' columns, in no order
  std::span<const std::int64_t> nnz;    ///< by tile column: entries of the tile
};

[[nodiscard]] constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

namespace detail {

/// Rows to ask for ahead of the one that is read, when they are read out of their order: a third
/// off the count of a million rows of 64 random entries.
inline constexpr std::int32_t kAhead = 4;

template <std::unsigned_integral TileIndex, typename Visit>
void visit_tile_rows(const CsrView& pattern, const Permutation* rows, const Permutation* cols,
                     Tile tile, Visit visit) {
  const auto n_tile_cols = static_cast<std::size_t>(ceil_div(pattern.n_cols, tile.cols));
  std::vector<TileIndex> tile_of(static_cast<std::size_t>(pattern.n_cols));
  for (std::int32_t place = 0; place < pattern.n_cols; ++place) {
    const std::int32_t col = cols ? (*cols)[place] : place;
    tile_of[static_cast<std::size_t>(col)] = static_cast<TileIndex>(place / tile.cols);
  }

  if (cols && cols->is_identity()) cols = nullptr;
  if (rows && rows->is_identity()) rows = nullptr;
  std::vector<std::int64_t> nnz(n_tile_cols);
  std::vector<std::int32_t> touched(n_tile_cols + 1);  // one more: see the store below
  for (std::int32_t begin = 0; begin < pattern.n_rows;) {
    const auto end = static_cast<std::int32_t>(
        std::min<std::int64_t>(pattern.n_rows, std::int64_t{begin} + tile.rows));
    std::size_t n_touched = 0;
    for (std::int32_t place = begin; place < end; ++place) {
      if (rows && place + kAhead < pattern.n_rows) prefetch_row(pattern, (*rows)[place + kAhead]);
      const std::span<const std::int32_t> row = pattern.row(rows ? (*rows)[place] : place);
      if (!cols && is_run(row)) {  // by tiles
        const std::int32_t past = row.back() + 1;
        for (std::int32_t col = row.front(); col < past;) {
          const std::int32_t t = col / tile.cols;
          const auto next =
              static_cast<std::int32_t>(std::min<std::int64_t>(past, (t + 1LL) * tile.cols));
          touched[n_touched] = t;
          n_touched += nnz[static_cast<std::size_t>(t)] == 0;
          nnz[static_cast<std::size_t>(t)] += next - col;
          col = next;
        }
        continue;
      }
      for (const std::int32_t col : row) {
        const TileIndex t = tile_of[static_cast<std::size_t>(col)];
        // Always stored, kept when the tile is new: no branch to mispredict.
        touched[n_touched] = static_cast<std::int32_t>(t);
        n_touched += nnz[t]++ == 0;
      }
    }
    const auto tiles = std::span(touched).first(n_touched);
    visit(TileRow{begin / tile.rows, end - begin, tiles, nnz});
    for (const std::int32_t t : tiles) nnz[static_cast<std::size_t>(t)] = 0;
    begin = end;
  }
}

}  // namespace detail

/// Calls `visit(TileRow)` for each row of tiles from the top. Null permutations mean the pattern's
/// own order. Streams over the pattern once: O(n_rows + n_cols + nnz) time, O(n_cols) memory.
template <typename Visit>
void for_each_tile_row(const CsrView& pattern, const Permutation* rows, const Permutation* cols,
                       Tile tile, Visit visit) {
  // The lookup column -> tile is the one random access per entry; 16-bit tile numbers keep it in
  // the nearest caches twice as long (16,384 columns in 32 KiB, a million in 2 MiB).
  if (ceil_div(pattern.n_cols, tile.cols) <= std::numeric_limits<std::uint16_t>::max()) {
    detail::visit_tile_rows<std::uint16_t>(pattern, rows, cols, tile, std::move(visit));
  } else {
    detail::visit_tile_rows<std::uint32_t>(pattern, rows, cols, tile, std::move(visit));
  }
}

}  // namespace reorder

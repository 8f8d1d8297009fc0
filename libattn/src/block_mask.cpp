// SPDX-License-Identifier: Apache-2.0
#include "attn/block_mask.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "attn/error.hpp"
#include "parallel.hpp"
#include "patterns.hpp"

namespace attn {

std::string to_string(TileShape tile) {
  return std::to_string(tile.block_m) + "x" + std::to_string(tile.block_n);
}

namespace {

void check_tile(TileShape tile) {
  const auto allowed = [](std::int32_t edge) { return edge >= 8 && edge <= 256 && edge % 8 == 0; };
  if (!allowed(tile.block_m) || !allowed(tile.block_n)) {
    throw Error(
        ErrorCode::invalid_argument,
        "tile " + to_string(tile) + " is not allowed: each edge is a multiple of 8 from 8 to 256");
  }
}

std::int32_t tiles_over(std::int32_t n, std::int32_t block) {
  return static_cast<std::int32_t>((std::int64_t{n} + block - 1) / block);
}

/// The key tiles of one row of tiles, by kind, ascending.
struct RowTile {
  std::vector<std::int32_t> full;
  std::vector<std::int32_t> partial;
};

template <class List>
std::vector<std::int64_t> offsets_of(const std::vector<RowTile>& rows, List RowTile::*list) {
  std::vector<std::int64_t> offsets(rows.size() + 1, 0);
  for (std::size_t t = 0; t < rows.size(); ++t) {
    offsets[t + 1] = offsets[t] + static_cast<std::int64_t>((rows[t].*list).size());
  }
  return offsets;
}

template <class List>
std::vector<std::int32_t> joined(const std::vector<RowTile>& rows, List RowTile::*list,
                                 std::int64_t total) {
  std::vector<std::int32_t> all;
  all.reserve(static_cast<std::size_t>(total));
  for (const RowTile& row : rows) all.insert(all.end(), (row.*list).begin(), (row.*list).end());
  return all;
}

/// Sorts the counted tiles of a row of tiles into full and partial ones.
RowTile classify(const TileGrid& grid, std::int64_t row_tile, TileCounts& counts) {
  RowTile row;
  std::sort(counts.touched.begin(), counts.touched.end());
  const std::int64_t height = grid.rows_in(row_tile);
  for (const std::int32_t tile : counts.touched) {
    std::int32_t& count = counts.count[static_cast<std::size_t>(tile)];
    (count == height * grid.cols_in(tile) ? row.full : row.partial).push_back(tile);
    count = 0;
  }
  counts.touched.clear();
  return row;
}

}  // namespace

/// Reads the pattern twice, by rows of tiles: the first pass counts the elements of each tile with
/// integers, the second packs the bits of those that turned out partial, straight into place.
template <class P>
void BlockMask::build(const P& pattern, int threads) {
  static_assert(Pattern<P>, "a mask is built from what can count and pack a row of tiles");
  threads = thread_count(threads);
  const TileGrid grid{n_q_, n_k_, tile_.block_m, tile_.block_n};
  const std::int64_t row_count = row_tiles();
  const auto key_count = static_cast<std::size_t>(key_tiles());

  std::vector<RowTile> rows(static_cast<std::size_t>(row_count));
  std::vector<TileCounts> scratch(static_cast<std::size_t>(threads));
  parallel_for(threads, row_count, [&](std::int64_t row_tile, int worker) {
    TileCounts& counts = scratch[static_cast<std::size_t>(worker)];
    counts.count.resize(key_count, 0);
    pattern.count(grid, row_tile, counts);
    rows[static_cast<std::size_t>(row_tile)] = classify(grid, row_tile, counts);
  });

  Single& single = masks_.emplace_back();
  single.full_offsets = offsets_of(rows, &RowTile::full);
  single.full_tiles = joined(rows, &RowTile::full, single.full_offsets.back());
  single.partial_offsets = offsets_of(rows, &RowTile::partial);
  single.partial_tiles = joined(rows, &RowTile::partial, single.partial_offsets.back());

  const std::int64_t tile_bytes = bits_per_tile() / 8;
  single.partial_bits.resize(static_cast<std::size_t>(single.partial_offsets.back() * tile_bytes));
  const TileLists result = lists();
  std::vector<TileSlots> slots(static_cast<std::size_t>(threads));
  parallel_for(threads, row_count, [&](std::int64_t row_tile, int worker) {
    const std::span<const std::int32_t> partial = result.partial(row_tile);
    if (partial.empty()) return;
    TileSlots& slot_of = slots[static_cast<std::size_t>(worker)];
    slot_of.resize(key_count, nullptr);
    const std::int64_t first = single.partial_offsets[static_cast<std::size_t>(row_tile)];
    std::uint8_t* bits = single.partial_bits.data() + first * tile_bytes;
    for (const std::int32_t tile : partial) {
      slot_of[static_cast<std::size_t>(tile)] = bits;
      bits += tile_bytes;
    }
    pattern.pack(grid, row_tile, slot_of);
    for (const std::int32_t tile : partial) slot_of[static_cast<std::size_t>(tile)] = nullptr;
  });
}

BlockMask BlockMask::from_csr(const CsrPattern& pattern, TileShape tile, int threads) {
  check_tile(tile);
  BlockMask mask;
  mask.n_q_ = pattern.n_q;
  mask.n_k_ = pattern.n_k;
  mask.tile_ = tile;
  mask.build(CsrSource(pattern), threads);
  return mask;
}

BlockMask BlockMask::from_dense(const DensePattern& pattern, TileShape tile, int threads) {
  check_tile(tile);
  BlockMask mask;
  mask.n_q_ = pattern.n_q;
  mask.n_k_ = pattern.n_k;
  mask.tile_ = tile;
  mask.build(DenseSource(pattern), threads);
  return mask;
}

BlockMask BlockMask::stack(std::span<const BlockMask> masks, std::int32_t batch,
                           std::int32_t heads) {
  if (batch < 1 || heads < 1) {
    throw Error(ErrorCode::invalid_argument, "a stack of " + std::to_string(batch) +
                                                 " batches and " + std::to_string(heads) +
                                                 " heads: both are at least 1");
  }
  if (static_cast<std::int64_t>(masks.size()) != std::int64_t{batch} * heads) {
    throw Error(ErrorCode::invalid_argument,
                std::to_string(masks.size()) + " masks for " + std::to_string(batch) +
                    " batches of " + std::to_string(heads) + " heads: one for each is needed");
  }
  BlockMask joined;
  joined.n_q_ = masks[0].n_q_;
  joined.n_k_ = masks[0].n_k_;
  joined.tile_ = masks[0].tile_;
  joined.batch_ = batch;
  joined.heads_ = heads;
  for (std::size_t i = 0; i < masks.size(); ++i) {
    const BlockMask& mask = masks[i];
    const auto which = [&] { return "mask " + std::to_string(i) + " of the stack "; };
    if (mask.masks_.size() != 1) {
      throw Error(ErrorCode::invalid_argument, which() + "is a stack itself");
    }
    if (mask.n_q_ != joined.n_q_ || mask.n_k_ != joined.n_k_ || mask.tile_ != joined.tile_) {
      throw Error(ErrorCode::invalid_argument, which() + "differs from the first in shape or tile");
    }
    joined.masks_.push_back(mask.masks_[0]);
  }
  return joined;
}

std::int32_t BlockMask::row_tiles() const noexcept {
  return tiles_over(n_q_, tile_.block_m);
}
std::int32_t BlockMask::key_tiles() const noexcept {
  return tiles_over(n_k_, tile_.block_n);
}

TileLists BlockMask::lists(std::int64_t b, std::int64_t h) const noexcept {
  const std::int64_t index = (batch_ == 1 ? 0 : b) * heads_ + (heads_ == 1 ? 0 : h);
  const Single& single = masks_[static_cast<std::size_t>(index)];
  return {single.full_offsets, single.full_tiles, single.partial_offsets, single.partial_tiles,
          single.partial_bits};
}

namespace {

/// Offsets into lists by key tile, from the key tile of every entry.
std::vector<std::int64_t> offsets_by_key(std::span<const std::int32_t> key_tiles,
                                         std::int32_t count) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(count) + 1, 0);
  for (const std::int32_t tile : key_tiles) ++offsets[static_cast<std::size_t>(tile) + 1];
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  return offsets;
}

}  // namespace

/// A counting sort by key tile. Row tiles are taken in ascending order, so they ascend in each
/// list.
TransposedLists BlockMask::transposed(std::int64_t b, std::int64_t h) const {
  const TileLists rows = lists(b, h);
  TransposedLists columns;
  columns.full_offsets = offsets_by_key(rows.full_tiles, key_tiles());
  columns.full_tiles.resize(rows.full_tiles.size());
  columns.partial_offsets = offsets_by_key(rows.partial_tiles, key_tiles());
  columns.partial_tiles.resize(rows.partial_tiles.size());
  columns.partial_places.resize(rows.partial_tiles.size());

  std::vector<std::int64_t> next_full = columns.full_offsets;
  std::vector<std::int64_t> next_partial = columns.partial_offsets;
  std::int64_t place = 0;
  for (std::int32_t t = 0; t < row_tiles(); ++t) {
    for (const std::int32_t tile : rows.full(t)) {
      const std::int64_t at = next_full[static_cast<std::size_t>(tile)]++;
      columns.full_tiles[static_cast<std::size_t>(at)] = t;
    }
    for (const std::int32_t tile : rows.partial(t)) {
      const std::int64_t at = next_partial[static_cast<std::size_t>(tile)]++;
      columns.partial_tiles[static_cast<std::size_t>(at)] = t;
      columns.partial_places[static_cast<std::size_t>(at)] = place++;
    }
  }
  return columns;
}

std::int64_t BlockMask::full_count() const noexcept {
  return std::accumulate(masks_.begin(), masks_.end(), std::int64_t{0},
                         [](std::int64_t sum, const Single& single) {
                           return sum + static_cast<std::int64_t>(single.full_tiles.size());
                         });
}

std::int64_t BlockMask::partial_count() const noexcept {
  return std::accumulate(masks_.begin(), masks_.end(), std::int64_t{0},
                         [](std::int64_t sum, const Single& single) {
                           return sum + static_cast<std::int64_t>(single.partial_tiles.size());
                         });
}

std::size_t BlockMask::bytes() const noexcept {
  std::size_t sum = 0;
  for (const Single& single : masks_) {
    sum += (single.full_offsets.size() + single.partial_offsets.size()) * sizeof(std::int64_t);
    sum += (single.full_tiles.size() + single.partial_tiles.size()) * sizeof(std::int32_t);
    sum += single.partial_bits.size();
  }
  return sum;
}

}  // namespace attn

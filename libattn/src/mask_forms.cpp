// SPDX-License-Identifier: Apache-2.0
#include "attn/mask_forms.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "attn/error.hpp"
#include "parallel.hpp"
#include "patterns.hpp"

namespace attn {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// The grid over a pattern, after BlockMask has found both to be sound.
TileGrid grid_of(const BlockMask& mask) {
  return {mask.n_q(), mask.n_k(), mask.tile().block_m, mask.tile().block_n};
}

template <class Mask>
std::vector<BlockMask> tiles_of(std::span<const Mask> masks) {
  std::vector<BlockMask> tiles;
  for (const Mask& mask : masks) tiles.push_back(mask.tiles());
  return tiles;
}

std::span<const std::int32_t> row(const CsrPattern& pattern, std::int64_t i) {
  return pattern.cols.subspan(at(pattern.offsets[at(i)]),
                              at(pattern.offsets[at(i) + 1] - pattern.offsets[at(i)]));
}

}  // namespace

SplitMask SplitMask::from_csr(const CsrPattern& pattern, TileShape tile, std::int64_t theta,
                              int threads) {
  if (theta < 1) {
    throw Error(ErrorCode::invalid_argument,
                "theta is " + std::to_string(theta) + ", but must be at least 1");
  }
  // An empty mask of the shape checks the tile, CsrSource the pattern as it counts.
  const std::vector<std::int64_t> none(at(std::max(pattern.n_q, 0)) + 1);
  const BlockMask shape = BlockMask::from_csr({pattern.n_q, pattern.n_k, none, {}}, tile);
  const CsrSource source(pattern);
  const TileGrid grid = grid_of(shape);
  const std::int64_t row_tiles = shape.row_tiles();
  threads = thread_count(threads);

  // Row tile by row tile: which tiles are dense, then each row in two parts.
  struct Parts {
    std::vector<std::int32_t> dense, sparse;
  };
  std::vector<Parts> parts(at(row_tiles));
  std::vector<std::int64_t> dense_sizes(at(pattern.n_q) + 1);
  Residual residual{.offsets = std::vector<std::int64_t>(at(pattern.n_q) + 1), .cols = {}};
  std::vector<TileCounts> scratch(at(threads));
  parallel_for(threads, row_tiles, [&](std::int64_t row_tile, int worker) {
    TileCounts& counts = scratch[at(worker)];
    counts.count.resize(at(shape.key_tiles()), 0);
    source.count(grid, row_tile, counts);
    Parts& part = parts[at(row_tile)];
    const std::int64_t begin = grid.row_begin(row_tile);
    for (std::int64_t i = begin; i < begin + grid.rows_in(row_tile); ++i) {
      const std::size_t before = part.dense.size();
      const auto cols = row(pattern, i);
      for (const std::int32_t col : cols) {
        const bool dense = counts.count[at(col / grid.block_n)] >= theta;
        (dense ? part.dense : part.sparse).push_back(col);
      }
      dense_sizes[at(i) + 1] = static_cast<std::int64_t>(part.dense.size() - before);
      residual.offsets[at(i) + 1] =
          static_cast<std::int64_t>(cols.size() - (part.dense.size() - before));
    }
    for (const std::int32_t touched : counts.touched) counts.count[at(touched)] = 0;
    counts.touched.clear();
  });
  std::partial_sum(dense_sizes.begin(), dense_sizes.end(), dense_sizes.begin());
  std::partial_sum(residual.offsets.begin(), residual.offsets.end(), residual.offsets.begin());
  std::vector<std::int32_t> dense;
  dense.reserve(at(dense_sizes.back()));
  residual.cols.reserve(at(residual.offsets.back()));
  for (const Parts& part : parts) {
    dense.insert(dense.end(), part.dense.begin(), part.dense.end());
    residual.cols.insert(residual.cols.end(), part.sparse.begin(), part.sparse.end());
  }
  BlockMask tiles =
      BlockMask::from_csr({pattern.n_q, pattern.n_k, dense_sizes, dense}, tile, threads);
  std::vector<Residual> residuals;
  residuals.push_back(std::move(residual));
  return {std::move(tiles), std::move(residuals)};
}

SplitMask SplitMask::stack(std::span<const SplitMask> masks, std::int32_t batch,
                           std::int32_t heads) {
  BlockMask tiles = BlockMask::stack(tiles_of(masks), batch, heads);
  std::vector<Residual> residuals;
  for (const SplitMask& mask : masks) residuals.push_back(mask.residuals_[0]);
  return {std::move(tiles), std::move(residuals)};
}

CsrPattern SplitMask::residual(std::int64_t b, std::int64_t h) const noexcept {
  const std::int64_t index =
      (tiles_.batch() == 1 ? 0 : b) * tiles_.heads() + (tiles_.heads() == 1 ? 0 : h);
  const Residual& residual = residuals_[at(index)];
  return {tiles_.n_q(), tiles_.n_k(), residual.offsets, residual.cols};
}

std::int64_t SplitMask::residual_count() const noexcept {
  std::int64_t count = 0;
  for (const Residual& residual : residuals_) count += residual.offsets.back();
  return count;
}

GatheredMask GatheredMask::from_csr(const CsrPattern& pattern, TileShape tile, int threads) {
  // Building the usual mask checks the tile and every row of the pattern.
  const TileGrid grid = grid_of(BlockMask::from_csr(pattern, tile, threads));
  const std::int64_t row_tiles = (std::int64_t{grid.n_q} + grid.block_m - 1) / grid.block_m;
  std::vector<std::vector<std::int32_t>> keys(at(row_tiles));
  std::vector<std::int32_t> places(pattern.cols.size());
  parallel_for(thread_count(threads), row_tiles, [&](std::int64_t row_tile, int) {
    const auto begin = at(pattern.offsets[at(grid.row_begin(row_tile))]);
    const auto end = at(pattern.offsets[at(grid.row_begin(row_tile) + grid.rows_in(row_tile))]);
    std::vector<std::int32_t>& distinct = keys[at(row_tile)];
    distinct.assign(pattern.cols.begin() + static_cast<std::ptrdiff_t>(begin),
                    pattern.cols.begin() + static_cast<std::ptrdiff_t>(end));
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    for (std::size_t entry = begin; entry < end; ++entry) {
      places[entry] = static_cast<std::int32_t>(
          std::lower_bound(distinct.begin(), distinct.end(), pattern.cols[entry]) -
          distinct.begin());
    }
  });
  Gathered gathered{.offsets = {0}, .keys = {}};
  for (const auto& distinct : keys) {
    gathered.keys.insert(gathered.keys.end(), distinct.begin(), distinct.end());
    gathered.offsets.push_back(static_cast<std::int64_t>(gathered.keys.size()));
  }
  BlockMask tiles =
      BlockMask::from_csr({pattern.n_q, pattern.n_k, pattern.offsets, places}, tile, threads);
  std::vector<Gathered> all;
  all.push_back(std::move(gathered));
  return {std::move(tiles), std::move(all)};
}

GatheredMask GatheredMask::stack(std::span<const GatheredMask> masks, std::int32_t batch,
                                 std::int32_t heads) {
  BlockMask tiles = BlockMask::stack(tiles_of(masks), batch, heads);
  std::vector<Gathered> gathered;
  for (const GatheredMask& mask : masks) gathered.push_back(mask.gathered_[0]);
  return {std::move(tiles), std::move(gathered)};
}

}  // namespace attn

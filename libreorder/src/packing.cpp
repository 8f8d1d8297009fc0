// SPDX-License-Identifier: Apache-2.0
#include "packing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "graph.hpp"
#include "members.hpp"
#include "random.hpp"
#include "tile_rows.hpp"

namespace reorder {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

constexpr std::int64_t kEntriesCounted = 100'000'000;
constexpr std::int64_t kMostPackings = 16;

/// A component as the packer sees it: a run of tokens and the tiles that it takes by how many rows
/// of tiles it reaches into.
struct Run {
  std::int32_t length = 0;
  double tiles = 0;  ///< when it starts at a tile's edge
  /// Tiles grow as (rows of tiles)^exponent; within one tile a staircase is expected, 3 for 2.
  double exponent = 1.58;
  std::int32_t spans = 1;

  Run(std::int32_t n, std::int64_t n_tiles, std::int32_t tile)
      : length(n), tiles(static_cast<double>(n_tiles)), spans((n + tile - 1) / tile) {
    if (spans > 1 && n_tiles > 1) exponent = std::log(tiles) / std::log(static_cast<double>(spans));
  }
  /// From `begin` on; the tile in which the run before it ends is counted there.
  [[nodiscard]] double cost(std::int64_t begin, std::int32_t tile) const {
    if (tiles == 0) return 0;
    const std::int64_t reached = (begin + length - 1) / tile - begin / tile + 1;
    const double shared = begin % tile == 0 ? 0 : 1;
    if (reached == spans) return tiles - shared;
    return tiles * std::pow(static_cast<double>(reached) / spans, exponent) - shared;
  }
};

/// An order of runs in which few of them reach into one tile more than they need, and those cheap
/// ones: exchanges of two runs that pay, tried at random.
std::vector<std::int32_t> pack(const std::vector<Run>& runs, std::int32_t tile, Random random) {
  std::vector<std::int32_t> order(runs.size());
  std::iota(order.begin(), order.end(), 0);
  // Runs that take no tiles fill the end.
  std::stable_partition(order.begin(), order.end(),
                        [&](std::int32_t r) { return runs[at(r)].tiles > 0; });
  const auto n = static_cast<std::uint32_t>(
      std::count_if(runs.begin(), runs.end(), [](const Run& run) { return run.tiles > 0; }));
  if (n < 2) return order;
  std::vector<std::int64_t> begin(n + 1);
  const auto lay_out = [&](std::uint32_t first, std::uint32_t last) {
    double cost = 0;
    for (std::uint32_t k = first; k <= last; ++k) {
      const Run& run = runs[at(order[k])];
      cost += run.cost(begin[k], tile);
      begin[k + 1] = begin[k] + run.length;
    }
    return cost;
  };
  lay_out(0, n - 1);
  const std::int64_t work = std::min(4000 * std::int64_t{n}, std::int64_t{4'000'000});
  // Exchanges reach less far among many runs, so that all of them get their share of the work.
  const std::uint32_t reach = std::min(n, 64U);
  for (std::int64_t looked_at = 0; looked_at < work;) {
    const std::uint32_t i = random.below(n);
    const std::uint32_t j = (i + 1 + random.below(reach)) % n;
    const auto [first, last] = std::minmax(i, j);
    looked_at += 2 * std::int64_t{last - first} + 1;
    if (first == last) continue;
    const double before = lay_out(first, last);
    std::swap(order[first], order[last]);
    if (lay_out(first, last) > before) {
      std::swap(order[first], order[last]);
      lay_out(first, last);
    }
  }
  return order;
}

}  // namespace

Ordering pack_components(const CsrView& mask, const std::vector<std::int32_t>& tokens, Tile tile,
                         std::uint64_t seed) {
  const Components components = connected_components(mask);
  std::vector<std::int32_t> component_of(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) component_of[i] = components.of[at(tokens[i])];
  const Members places(component_of, at(components.count));
  std::vector<std::int32_t> apart;  // component by component, each in its order
  apart.reserve(tokens.size());
  for (const std::int32_t place : places.list()) apart.push_back(tokens[at(place)]);

  // Tiles of each component when it starts at a tile's edge.
  std::vector<std::int32_t> local(tokens.size());
  std::vector<Run> runs;
  std::vector<std::int64_t> last_seen;
  std::size_t begin = 0;
  for (std::int32_t c = 0; c < components.count; ++c) {
    const std::size_t size = places.of(c).size();
    for (std::size_t i = 0; i < size; ++i)
      local[at(apart[begin + i])] = static_cast<std::int32_t>(i);
    const auto spans = at(ceil_div(static_cast<std::int64_t>(size), tile.cols));
    last_seen.assign(spans, -1);
    std::int64_t tiles = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const auto tile_row = static_cast<std::int64_t>(i) / tile.rows;
      for (const std::int32_t col : mask.row(apart[begin + i])) {
        std::int64_t& last = last_seen[at(local[at(col)] / tile.cols)];
        tiles += last != tile_row;
        last = tile_row;
      }
    }
    runs.emplace_back(static_cast<std::int32_t>(size), tiles, tile.rows);
    begin += size;
  }

  std::vector<std::size_t> begins(runs.size() + 1);
  for (std::size_t c = 0; c < runs.size(); ++c) begins[c + 1] = begins[c] + at(runs[c].length);
  // The packer knows of each run no more than two numbers, so a few of its answers are counted.
  const std::int64_t n_tried = std::clamp<std::int64_t>(
      kEntriesCounted / std::max<std::int64_t>(mask.nnz(), 1), 1, kMostPackings);
  Ordering best;
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (std::int64_t tried = 0; tried < (runs.size() < 2 ? 1 : n_tried); ++tried) {
    std::vector<std::int32_t> order;
    order.reserve(apart.size());
    for (const std::int32_t c : pack(runs, tile.rows, Random(seed, at(tried)))) {
      order.insert(order.end(), apart.begin() + static_cast<std::ptrdiff_t>(begins[at(c)]),
                   apart.begin() + static_cast<std::ptrdiff_t>(begins[at(c) + 1]));
    }
    Ordering packed = Ordering::same(Permutation(std::move(order)));
    const std::int64_t tiles = count_tiles(mask, packed, tile).nonempty;
    if (tiles >= least) continue;
    least = tiles;
    best = std::move(packed);
  }
  return best;
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "anneal.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "random.hpp"
#include "tile_items.hpp"
#include "tile_rows.hpp"

namespace reorder {
namespace {

constexpr std::int64_t kMostTiles = std::int64_t{1} << 26;
/// Of 256 moves so many look for a partner where it shares a tile; the others look anywhere.
constexpr std::uint64_t kNearMoves = 192;
/// More for each pair of bundles bring nothing: a few dozen bundles are soon in their places.
constexpr double kMovesPerPair = 32;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// The largest divisor of a tile's side that is no more than `parts`.
std::int32_t divisor(std::int32_t side, std::int32_t parts) {
  while (side % parts != 0) --parts;
  return parts;
}

/// Bundles of one side at their places, `parts` places to a tile.
struct Side {
  Side(std::int32_t n, std::int32_t tile, std::int32_t most_parts)
      : parts(divisor(tile, std::min(most_parts, tile))),
        size(tile / parts),
        n_bundles(static_cast<std::int32_t>(ceil_div(n, size))),
        n_movable(n / size),
        n_tiles(static_cast<std::int32_t>(ceil_div(n, tile))),
        bundle_of(at(n)),
        bundle_at(at(n_bundles)),
        tile_of(at(n_bundles)) {
    for (std::int32_t i = 0; i < n; ++i) bundle_of[at(i)] = i / size;
    std::iota(bundle_at.begin(), bundle_at.end(), 0);
    place_of = bundle_at;
    for (std::int32_t b = 0; b < n_bundles; ++b) tile_of[at(b)] = b / parts;
  }

  void exchange(std::int32_t a, std::int32_t b) {
    std::swap(bundle_at[at(place_of[at(a)])], bundle_at[at(place_of[at(b)])]);
    std::swap(place_of[at(a)], place_of[at(b)]);
    std::swap(tile_of[at(a)], tile_of[at(b)]);
  }

  [[nodiscard]] Permutation order() const {
    std::vector<std::int32_t> result;
    result.reserve(bundle_of.size());
    const auto n = static_cast<std::int32_t>(bundle_of.size());
    for (const std::int32_t bundle : bundle_at) {
      const std::int32_t end = std::min(n - bundle * size, size) + bundle * size;
      for (std::int32_t i = bundle * size; i < end; ++i) result.push_back(i);
    }
    return Permutation(std::move(result));
  }

  std::int32_t parts;
  std::int32_t size;  ///< of a bundle
  std::int32_t n_bundles;
  std::int32_t n_movable;  ///< all but a shorter one at the end
  std::int32_t n_tiles;
  std::vector<std::int32_t> bundle_of;  ///< by row or column of the mask
  std::vector<std::int32_t> bundle_at;  ///< by place
  std::vector<std::int32_t> place_of;   ///< by bundle
  std::vector<std::int32_t> tile_of;    ///< by bundle
  Items items;                          ///< bundles with the bundles of the other side
};

/// What the bundles of `side` hold of the bundles of `other`.
Items bundled(const CsrView& pattern, const Side& side, const Side& other) {
  Items items{.n_features = other.n_bundles, .offsets = {0}, .pins = {}};
  std::vector<std::int32_t> count(at(other.n_bundles));
  for (std::int32_t row = 0; row < pattern.n_rows;) {
    const std::int32_t end = std::min(pattern.n_rows - row, side.size) + row;
    const std::size_t first = items.pins.size();
    for (; row < end; ++row) {
      for (const std::int32_t col : pattern.row(row)) {
        const std::int32_t bundle = other.bundle_of[at(col)];
        if (count[at(bundle)]++ == 0) items.pins.push_back({bundle, 0});
      }
    }
    for (std::size_t p = first; p < items.pins.size(); ++p) {
      items.pins[p].count = std::exchange(count[at(items.pins[p].feature)], 0);
    }
    items.offsets.push_back(static_cast<std::int64_t>(items.pins.size()));
  }
  return items;
}

/// The same items seen from their features.
Items turned(const Items& items) {
  Items result{.n_features = items.size(), .offsets = {}, .pins = {}};
  result.offsets.assign(at(items.n_features) + 1, 0);
  for (const Pin& pin : items.pins) ++result.offsets[at(pin.feature) + 1];
  std::partial_sum(result.offsets.begin(), result.offsets.end(), result.offsets.begin());
  result.pins.resize(items.pins.size());
  std::vector<std::int64_t> next = result.offsets;
  for (std::int32_t item = 0; item < items.size(); ++item) {
    for (const Pin& pin : items.of(item)) {
      result.pins[at(next[at(pin.feature)]++)] = {item, pin.count};
    }
  }
  return result;
}

class Annealer {
 public:
  Annealer(const CsrView& mask, const Objective& objective, const AnnealOptions& options)
      : options_(options),
        prices_(prices_of(objective, 1)),
        rows_(mask.n_rows, objective.tile.rows, options.parts),
        // The keys of a gather stand each for itself and do not move.
        cols_(mask.n_cols, one_sided(objective) ? 1 : objective.tile.cols, options.parts),
        moves_cols_(!one_sided(objective)),
        stride_(cols_.n_tiles),
        random_(options.seed) {
    rows_.items = bundled(mask, rows_, cols_);
    cols_.items = turned(rows_.items);
    work_ = mask.nnz();
  }

  [[nodiscard]] static bool one_sided(const Objective& objective) {
    return objective.kind == Objective::Kind::gather;
  }

  [[nodiscard]] bool is_small() const {
    return std::int64_t{rows_.n_tiles} * cols_.n_tiles <= kMostTiles;
  }

  void run() {
    const std::int64_t movable =
        std::int64_t{rows_.n_movable} + (moves_cols_ ? cols_.n_movable : 0);
    if (movable < 2 || rows_.items.pins.empty()) return;
    count();
    const double pins_of_move = 4.0 * static_cast<double>(rows_.items.pins.size()) *
                                (moves_cols_ ? 2 : 1) / static_cast<double>(movable);
    const double affordable =
        static_cast<double>(options_.work_limit - work_) / std::max(pins_of_move, 1.0);
    const double moves_per_bundle =
        std::min(options_.moves_per_bundle, kMovesPerPair * static_cast<double>(movable));
    const auto n_moves = static_cast<std::int64_t>(
        std::max(0.0, std::min(moves_per_bundle * static_cast<double>(movable), affordable)));
    // Exchanges cool down geometrically, in steps so small that nothing is to be seen of them.
    constexpr std::int64_t kMovesAtATemperature = 256;
    for (std::int64_t m = 0; m < n_moves; ++m) {
      if (m % kMovesAtATemperature == 0) {
        const double progress = static_cast<double>(m) / static_cast<double>(n_moves);
        temperature_ = kPriceUnit * options_.hot * std::pow(options_.cold / options_.hot, progress);
      }
      const bool row_move =
          static_cast<std::int64_t>(random_.below(static_cast<std::uint32_t>(movable))) <
          rows_.n_movable;
      if (row_move) {
        try_exchange(rows_, cols_, stride_, 1);
      } else {
        try_exchange(cols_, rows_, 1, stride_);
      }
    }
  }

  [[nodiscard]] Ordering ordering() const { return {rows_.order(), cols_.order(), false}; }
  [[nodiscard]] std::int64_t work() const { return work_; }

 private:
  void count() {
    counts_.assign(at(rows_.n_tiles) * at(cols_.n_tiles), 0);
    change_.assign(at(std::max(rows_.n_tiles, cols_.n_tiles)), 0);
    for (std::int32_t bundle = 0; bundle < rows_.n_bundles; ++bundle) {
      for (const Pin& pin : rows_.items.of(bundle)) {
        counts_[at(rows_.tile_of[at(bundle)] * stride_ + cols_.tile_of[at(pin.feature)])] +=
            pin.count;
      }
    }
  }

  [[nodiscard]] std::int32_t price(std::int32_t count) const {
    return prices_[std::min(at(count), prices_.size() - 1)];
  }

  template <typename T>
  T pick(std::span<const T> from) {
    return from[random_.below(static_cast<std::uint32_t>(from.size()))];
  }

  /// A bundle to exchange places with: one in a tile that shares a tile of the other side with
  /// `a`, or any.
  std::int32_t partner(const Side& side, const Side& other, std::int32_t a) {
    if ((random_.next() & 255) >= kNearMoves || side.items.of(a).empty()) {
      return static_cast<std::int32_t>(random_.below(static_cast<std::uint32_t>(side.n_movable)));
    }
    const std::int32_t across = neighbour(other, pick(side.items.of(a)).feature);
    const auto pins = other.items.of(across);
    return pins.empty() ? a : neighbour(side, pick(pins).feature);
  }

  /// A bundle in the same tile as `bundle`.
  std::int32_t neighbour(const Side& side, std::int32_t bundle) {
    const std::int32_t begin = side.tile_of[at(bundle)] * side.parts;
    const std::int32_t end = std::min(side.n_bundles - begin, side.parts);
    return side.bundle_at[at(begin + random_.below(static_cast<std::uint32_t>(end)))];
  }

  /// `step` is from one tile of `side` to the next in counts_, `step_across` the same for `other`.
  void try_exchange(Side& side, const Side& other, std::int64_t step, std::int64_t step_across) {
    const auto a =
        static_cast<std::int32_t>(random_.below(static_cast<std::uint32_t>(side.n_movable)));
    const std::int32_t b = partner(side, other, a);
    if (b >= side.n_movable || side.tile_of[at(a)] == side.tile_of[at(b)]) return;
    touched_.clear();
    gather_change(side.items.of(b), other, 1);
    gather_change(side.items.of(a), other, -1);
    std::int32_t* tile_a = counts_.data() + side.tile_of[at(a)] * step;
    std::int32_t* tile_b = counts_.data() + side.tile_of[at(b)] * step;
    std::int64_t dearer = 0;
    for (const std::int32_t t : touched_) {
      const std::int32_t change = change_[at(t)];
      const std::int32_t in_a = tile_a[t * step_across];
      const std::int32_t in_b = tile_b[t * step_across];
      dearer += price(in_a + change) - price(in_a) + price(in_b - change) - price(in_b);
    }
    const bool accepted = dearer <= 0 || accepts(static_cast<double>(dearer));
    for (const std::int32_t t : touched_) {
      const std::int32_t change = std::exchange(change_[at(t)], 0);
      if (!accepted) continue;
      tile_a[t * step_across] += change;
      tile_b[t * step_across] -= change;
    }
    if (accepted) side.exchange(a, b);
  }

  /// Adds a bundle's entries to change_, by the tiles of the other side.
  void gather_change(std::span<const Pin> pins, const Side& other, std::int32_t sign) {
    for (const Pin& pin : pins) {
      const std::int32_t tile = other.tile_of[at(pin.feature)];
      if (change_[at(tile)] == 0) touched_.push_back(tile);
      change_[at(tile)] += sign * pin.count;
    }
    work_ += 2 * static_cast<std::int64_t>(pins.size());
  }

  bool accepts(double dearer) {
    const double uniform = static_cast<double>((random_.next() >> 11) + 1) * 0x1p-53;
    return dearer < -temperature_ * std::log(uniform);
  }

  AnnealOptions options_;
  Prices prices_;
  Side rows_;
  Side cols_;
  bool moves_cols_;
  std::int64_t stride_;
  Random random_;
  double temperature_ = 0;
  std::vector<std::int32_t> counts_;  ///< entries by row tile and column tile
  std::vector<std::int32_t> change_;  ///< by tile of the other side, 0 between two moves
  std::vector<std::int32_t> touched_;
  std::int64_t work_ = 0;
};

}  // namespace

Annealed anneal(const CsrView& mask, const Objective& objective, const AnnealOptions& options) {
  validate(objective);
  Annealed result{.ordering = Ordering::identity(mask.n_rows, mask.n_cols)};
  result.before = result.after = evaluate(objective, mask, result.ordering);
  Annealer annealer(mask, objective, options);
  if (!annealer.is_small()) return result;
  annealer.run();
  result.work = annealer.work();
  Ordering found = annealer.ordering();
  const double after = evaluate(objective, mask, found);
  if (after < result.before) {
    result.after = after;
    result.ordering = std::move(found);
  }
  return result;
}

}  // namespace reorder

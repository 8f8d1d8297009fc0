// SPDX-License-Identifier: Apache-2.0
#include "refine.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "members.hpp"
#include "tile_items.hpp"
#include "tile_rows.hpp"
#include "tile_search.hpp"

namespace reorder {
namespace {

// Measured on the generators' families; the search is not sensitive to any of them by a factor of
// two.
constexpr int kTurnsPerRound = 5;        // of rows and columns each
constexpr double kFadedOut = 0.9;        // share of the turns after which nothing is smoothed
constexpr double kBalanceFirst = 0.003;  // prices of the squared excess of a tile
constexpr double kBalanceLast = 0.2;
constexpr double kEntriesPerSmoothing = 10;
constexpr double kLeastSmoothing = 3;
constexpr double kMostSmoothing = 40;
// Gathered keys are paid for in whole tiles: in the end the first 1/32 of a tile costs all of it.
constexpr double kSteepest = 32;

// Rows with so many entries in a tile have neighbours like them, to be moved together.
constexpr std::int64_t kEntriesOfLikeRows = 4;
constexpr std::int32_t kBundles[] = {64, 16, 4};
constexpr int kBundleRounds = 2;
constexpr double kLastSmoothing = 2;  // while rows are exchanged
constexpr int kPartRounds = 8;        // of exchanges within tiles, at least
constexpr int kMostPartRounds = 32;   // ... and as many as rounds, at most

// Work, in entries read: weighing a move looks at 16 prices for a pin.
constexpr std::int64_t kWorkPerPin = 8;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

std::vector<std::int32_t> chunks(std::int32_t n, std::int32_t size) {
  std::vector<std::int32_t> result;
  for (std::int64_t begin = 0; begin < n; begin += size) {
    result.push_back(static_cast<std::int32_t>(std::min<std::int64_t>(size, n - begin)));
  }
  return result;
}

Grouping in_order(std::int32_t n, std::int32_t size) {
  Grouping grouping{.of = std::vector<std::int32_t>(at(n)), .capacity = chunks(n, size)};
  for (std::int32_t i = 0; i < n; ++i) grouping.of[at(i)] = i / size;
  return grouping;
}

/// Rows of one tile in bundles of equal size, to be moved as one.
struct Bundles {
  std::vector<std::int32_t> rows;    ///< bundle by bundle
  std::vector<std::int32_t> groups;  ///< the tiles that are bundled
  Items items;
  Grouping grouping;  ///< of bundles, into places in `groups`
};

/// Bundles of `size` rows that touch the same tiles, or nearly: the rows of a tile are sorted by
/// what they touch and cut. A tile of another size than a multiple of `size` stands aside.
Bundles bundle(const Items& items, const Grouping& grouping, std::int32_t size) {
  Bundles result;
  result.items.n_features = items.n_features;
  const Members members(grouping.of, grouping.capacity.size());
  std::vector<std::int32_t> count(at(items.n_features));
  std::vector<std::vector<std::int32_t>> features;
  for (std::size_t g = 0; g < grouping.capacity.size(); ++g) {
    const auto rows = members.of(static_cast<std::int32_t>(g));
    if (static_cast<std::int32_t>(rows.size()) % size != 0 || grouping.capacity[g] % size != 0) {
      continue;
    }
    features.assign(rows.size(), {});
    std::vector<std::size_t> order(rows.size());
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (const Pin& pin : items.of(rows[i])) features[i].push_back(pin.feature);
      std::sort(features[i].begin(), features[i].end());
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return features[a] < features[b]; });
    for (std::size_t begin = 0; begin < order.size(); begin += at(size)) {
      const std::size_t first = result.items.pins.size();
      for (std::size_t i = begin; i < begin + at(size); ++i) {
        const std::int32_t row = rows[order[i]];
        result.rows.push_back(row);
        for (const Pin& pin : items.of(row)) {
          if (count[at(pin.feature)] == 0) result.items.pins.push_back({pin.feature, 0});
          count[at(pin.feature)] += pin.count;
        }
      }
      for (std::size_t p = first; p < result.items.pins.size(); ++p) {
        Pin& pin = result.items.pins[p];
        pin.count = std::exchange(count[at(pin.feature)], 0);
      }
      result.items.offsets.push_back(static_cast<std::int64_t>(result.items.pins.size()));
      result.grouping.of.push_back(static_cast<std::int32_t>(result.groups.size()));
    }
    result.groups.push_back(static_cast<std::int32_t>(g));
    result.grouping.capacity.push_back(grouping.capacity[g] / size);
  }
  return result;
}

class Refiner {
 public:
  Refiner(const CsrView& mask, const Objective& objective, const RefineOptions& options)
      : mask_(mask),
        objective_(objective),
        options_(options),
        rows_(in_order(mask.n_rows, objective.tile.rows)),
        cols_(in_order(mask.n_cols, objective.tile.cols)) {
    if (one_sided()) {
      column_itself_.resize(at(mask.n_cols));
      std::iota(column_itself_.begin(), column_itself_.end(), 0);
    } else {
      transposed_ = transpose(mask);
    }
  }

  Refined run() {
    Refined result{.ordering = Ordering::identity(mask_.n_rows, mask_.n_cols)};
    result.before = result.after = evaluate(objective_, mask_, result.ordering);
    work_ = 2 * mask_.nnz();
    smoothing_ = first_smoothing();
    const int rounds = result.rounds = affordable_rounds();
    if (rounds > 0) search_rows(rounds);
    if (rounds > 0 ? has_like_rows_ : bundles_work_ <= options_.work_limit - work_) {
      exchange_bundles();
      result.searched = true;
    }
    result.searched = result.searched || rounds > 0;
    for (int round = 0; round < rounds && !stopped(); ++round) exchange_turn(round, rounds);
    if (result.searched) keep_if_better(result);
    result.work = work_;
    return result;
  }

 private:
  [[nodiscard]] bool one_sided() const { return objective_.kind == Objective::Kind::gather; }

  [[nodiscard]] bool stopped() const { return options_.stop && options_.stop(); }

  [[nodiscard]] double first_smoothing() const {
    if (options_.smoothing > 0) return options_.smoothing;
    if (one_sided()) return 1;
    const TileCounts counts = count_tiles(mask_, objective_.tile);
    const double entries = static_cast<double>(counts.nnz) /
                           static_cast<double>(std::max<std::int64_t>(counts.nonempty, 1));
    return std::clamp(entries / kEntriesPerSmoothing, kLeastSmoothing, kMostSmoothing);
  }

  /// Rounds within the work limit, by the pins in the mask's own order.
  int affordable_rounds() {
    std::int64_t turn = 0;
    std::int64_t exchange = 0;
    std::int64_t all_pins = 0;
    for_each_side([&](const Items& items, Grouping& grouping, SearchStep) {
      const auto pins = static_cast<std::int64_t>(items.pins.size());
      turn += mask_.nnz() + search_work(pins);
      exchange += mask_.nnz() + exchange_work(pins, grouping);
      all_pins += pins;
      for (const std::int32_t size : kBundles) {
        bundles_work_ += kBundleRounds * (mask_.nnz() + bundle_work(pins, grouping, size));
      }
    });
    has_like_rows_ = kEntriesOfLikeRows * all_pins < 2 * mask_.nnz();
    const bool parts = objective_.has_parts();
    const std::int64_t round = kTurnsPerRound * turn + (parts ? 2 : 1) * exchange;
    const std::int64_t once =
        (has_like_rows_ ? bundles_work_ : 0) + (parts ? kPartRounds * exchange : 0);
    const std::int64_t left = std::max<std::int64_t>(options_.work_limit - work_ - once, 0);
    return static_cast<int>(
        std::min<std::int64_t>(options_.rounds, left / std::max<std::int64_t>(round, 1)));
  }

  static std::int64_t search_work(std::int64_t pins) { return 4 * kWorkPerPin * pins; }
  static std::int64_t exchange_work(std::int64_t pins, const Grouping& grouping) {
    const std::int64_t size = grouping.capacity.empty() ? 0 : grouping.capacity[0];
    return kWorkPerPin * pins * (1 + size / 8);
  }

  /// Single rows, and sizes that are exact in the end.
  void search_rows(int rounds) {
    const int turns = rounds * kTurnsPerRound;
    for (int turn = 0; turn < turns && !stopped(); ++turn) {
      const double progress = std::min(1.0, turn / (kFadedOut * std::max(turns - 1, 1)));
      search_turn(std::pow(smoothing_, 1 - progress),
                  kBalanceFirst * std::pow(kBalanceLast / kBalanceFirst, progress));
    }
    for_each_side([&](const Items& items, Grouping& grouping, SearchStep) {
      balance(items, grouping, prices_of(objective_, 1));
    });
  }

  /// Of one pass over one side.
  static std::int64_t bundle_work(std::int64_t pins, const Grouping& grouping, std::int32_t size) {
    const std::int64_t partners = grouping.capacity.empty() ? 0 : grouping.capacity[0] / size;
    return 2 * kWorkPerPin * pins * (1 + partners / 8);
  }

  /// Calls `act(items, grouping, step)` for rows, then for columns.
  template <typename Act>
  void for_each_side(Act act) {
    SearchStep step{.unit = one_sided() ? kPriceOfKey * objective_.tile.cols : 0,
                    .steepness = steepness_,
                    .seed = options_.seed + 2 * turn_++,
                    .threads = options_.threads};
    if (one_sided()) {
      act(items_of(mask_, column_itself_, mask_.n_cols, options_.threads), rows_, step);
      work_ += mask_.nnz();
      return;
    }
    const auto n_row_tiles = static_cast<std::int32_t>(rows_.capacity.size());
    const auto n_col_tiles = static_cast<std::int32_t>(cols_.capacity.size());
    SearchStep other = step;
    step.family = family_.rows;
    act(items_of(mask_, cols_.of, n_col_tiles, options_.threads), rows_, step);
    ++other.seed;
    other.family = family_.cols;
    act(items_of(transposed_, rows_.of, n_row_tiles, options_.threads), cols_, other);
    work_ += 2 * mask_.nnz();
  }

  void search_turn(double smoothing, double balance) {
    const Prices prices = prices_of(objective_, smoothing);
    for_each_side([&](const Items& items, Grouping& grouping, SearchStep step) {
      step.rounds = 2;
      step.moves_per_item = 2;
      step.balance = balance;
      search(items, grouping, prices, step);
      work_ += search_work(static_cast<std::int64_t>(items.pins.size()));
    });
  }

  void exchange_turn(int round, int rounds) {
    const double smoothing = std::min(smoothing_, kLastSmoothing);
    const double progress = static_cast<double>(round) / std::max(rounds - 1, 1);
    steepness_ = std::pow(kSteepest, progress);
    const Prices prices = prices_of(objective_, std::pow(smoothing, 1 - progress));
    for_each_side([&](const Items& items, Grouping& grouping, const SearchStep& step) {
      exchange(items, grouping, prices, step);
      work_ += exchange_work(static_cast<std::int64_t>(items.pins.size()), grouping);
    });
  }

  /// Calls `act(bundles, step)` for both sides and moves the rows to where their bundles went.
  template <typename Act>
  void for_each_side_in_bundles(std::int32_t size, Act act) {
    for_each_side([&](const Items& items, Grouping& grouping, const SearchStep& step) {
      Bundles bundles = bundle(items, grouping, size);
      act(bundles, step);
      for (std::size_t i = 0; i < bundles.rows.size(); ++i) {
        const std::int32_t place = bundles.grouping.of[i / at(size)];
        grouping.of[at(bundles.rows[i])] = bundles.groups[at(place)];
      }
      work_ += bundle_work(static_cast<std::int64_t>(items.pins.size()), grouping, size);
    });
  }

  /// Whole runs of like rows change places first, then smaller ones.
  void exchange_bundles() {
    const Prices prices = prices_of(objective_, 1);
    for (const std::int32_t size : kBundles) {
      for (int round = 0; round < kBundleRounds; ++round) {
        for_each_side_in_bundles(size, [&](Bundles& bundles, SearchStep step) {
          step.moves_per_item = 2;
          exchange(bundles.items, bundles.grouping, prices, step);
        });
      }
    }
  }

  /// By groups.
  [[nodiscard]] Ordering order() const {
    return {Permutation(Members(rows_.of, rows_.capacity.size()).list()),
            Permutation(Members(cols_.of, cols_.capacity.size()).list()), false};
  }

  /// Rows and columns change places within their tiles, so that few parts hold any entry.
  [[nodiscard]] Ordering arranged(const Ordering& found, int rounds) {
    Objective parts = objective_;
    parts.tile = objective_.part;
    parts.part = {0, 0};
    parts.t_tile = 0;
    const Csr placed = permute(mask_, found);
    Refiner within(placed, parts, options_);
    within.family_ = {objective_.tile.rows / parts.tile.rows,
                      objective_.tile.cols / parts.tile.cols};
    within.smoothing_ = within.first_smoothing();
    for (int round = 0; round < rounds && !stopped(); ++round) within.exchange_turn(round, rounds);
    work_ += within.work_;
    return found.then(within.order());
  }

  void keep_if_better(Refined& result) {
    const int rounds = std::clamp(result.rounds, kPartRounds, kMostPartRounds);
    Ordering found = objective_.has_parts() ? arranged(order(), rounds) : order();
    const double value = evaluate(objective_, mask_, found);
    if (value >= result.before) return;
    result.ordering = std::move(found);
    result.after = value;
  }

  CsrView mask_;
  Csr transposed_;
  Objective objective_;
  RefineOptions options_;
  Grouping rows_;
  Grouping cols_;
  std::vector<std::int32_t> column_itself_;
  std::int64_t work_ = 0;
  std::int64_t bundles_work_ = 0;  ///< expected
  bool has_like_rows_ = false;
  Tile family_{0, 0};  ///< of groups that nothing leaves, as in SearchStep
  double smoothing_ = 1;
  double steepness_ = 1;
  std::uint64_t turn_ = 0;  ///< seeds of one run do not repeat
};

}  // namespace

Refined refine(const CsrView& mask, const Objective& objective, const RefineOptions& options) {
  validate(objective);
  Objective still = objective;
  still.t_gather = 0;
  return Refiner(mask, still, options).run();
}

}  // namespace reorder

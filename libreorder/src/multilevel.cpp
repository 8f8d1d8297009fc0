// SPDX-License-Identifier: Apache-2.0
#include "multilevel.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <numeric>
#include <span>
#include <utility>

#include "fill_groups.hpp"
#include "members.hpp"
#include "random.hpp"
#include "tile_items.hpp"
#include "tile_rows.hpp"
#include "tile_search.hpp"

namespace reorder {
namespace {

constexpr std::int32_t kBundlesOfPart = 16;  // on the coarsest level
/// Columns with more rows than this tell nothing about pairs and would be read once for each row.
constexpr std::size_t kLargestNet = 256;
// The price of a part that is over or under, in keys for the square of each row: of single rows at
// first and at last. A bundle of rows counts as one, and brings as many times the keys.
constexpr double kBalanceFirst = 0.01;
constexpr double kBalanceLast = 0.2;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// The items of each feature.
class Nets {
 public:
  explicit Nets(const Items& items) {
    std::vector<std::int32_t> features;
    features.reserve(items.pins.size());
    item_of_pin_.reserve(items.pins.size());
    for (std::int32_t item = 0; item < items.size(); ++item) {
      for (const Pin& pin : items.of(item)) {
        features.push_back(pin.feature);
        item_of_pin_.push_back(item);
      }
    }
    pins_ = std::make_unique<Members>(features, at(items.n_features));
  }
  [[nodiscard]] std::span<const std::int32_t> pins(std::int32_t feature) const {
    return pins_->of(feature);
  }
  [[nodiscard]] std::int32_t item(std::int32_t pin) const { return item_of_pin_[at(pin)]; }

 private:
  std::vector<std::int32_t> item_of_pin_;
  std::unique_ptr<Members> pins_;
};

/// The pair of each item, numbered; an odd one is alone. Heavy connectivity: an item takes the free
/// one with which it shares most columns, rare columns weighing more. Those that find none are
/// paired as they come.
std::vector<std::int32_t> pair_up(const Items& items, Random random) {
  const Nets nets(items);
  std::vector<std::int32_t> order(at(items.size()));
  std::iota(order.begin(), order.end(), 0);
  random.shuffle(std::span(order));
  std::vector<std::int32_t> pair_of(order.size(), -1);
  std::vector<double> weight(order.size());
  std::vector<std::int32_t> touched;
  std::vector<std::int32_t> lonely;
  std::int32_t n_pairs = 0;
  for (const std::int32_t item : order) {
    if (pair_of[at(item)] >= 0) continue;
    for (const Pin& pin : items.of(item)) {
      const auto net = nets.pins(pin.feature);
      if (net.size() < 2 || net.size() > kLargestNet) continue;
      for (const std::int32_t other_pin : net) {
        const std::int32_t other = nets.item(other_pin);
        if (other == item || pair_of[at(other)] >= 0) continue;
        if (weight[at(other)] == 0) touched.push_back(other);
        weight[at(other)] += 1 / static_cast<double>(net.size() - 1);
      }
    }
    std::int32_t best = -1;
    for (const std::int32_t other : touched) {
      if (best < 0 || weight[at(other)] > weight[at(best)]) best = other;
    }
    for (const std::int32_t other : touched) weight[at(other)] = 0;
    touched.clear();
    if (best < 0) {
      lonely.push_back(item);
    } else {
      pair_of[at(item)] = pair_of[at(best)] = n_pairs++;
    }
  }
  // A lonely item may have been taken by a later one.
  std::erase_if(lonely, [&](std::int32_t item) { return pair_of[at(item)] >= 0; });
  for (std::size_t i = 0; i < lonely.size(); ++i) {
    pair_of[at(lonely[i])] = n_pairs + static_cast<std::int32_t>(i / 2);
  }
  return pair_of;
}

/// Items put together by `pair_of`.
Items coarsened(const Items& items, const std::vector<std::int32_t>& pair_of) {
  const auto n_pairs = static_cast<std::int32_t>(ceil_div(items.size(), 2));
  const Members members(pair_of, at(n_pairs));
  Items coarse{.n_features = items.n_features, .offsets = {0}, .pins = {}};
  std::vector<std::int32_t> count(at(items.n_features));
  for (std::int32_t pair = 0; pair < n_pairs; ++pair) {
    const std::size_t first = coarse.pins.size();
    for (const std::int32_t item : members.of(pair)) {
      for (const Pin& pin : items.of(item)) {
        if (count[at(pin.feature)] == 0) coarse.pins.push_back({pin.feature, 0});
        count[at(pin.feature)] += pin.count;
      }
    }
    for (std::size_t p = first; p < coarse.pins.size(); ++p) {
      coarse.pins[p].count = std::exchange(count[at(coarse.pins[p].feature)], 0);
    }
    coarse.offsets.push_back(static_cast<std::int64_t>(coarse.pins.size()));
  }
  return coarse;
}

Csr pattern_of(const Items& items) {
  std::vector<std::int32_t> cols;
  cols.reserve(items.pins.size());
  for (std::int32_t item = 0; item < items.size(); ++item) {
    const auto begin = static_cast<std::ptrdiff_t>(cols.size());
    for (const Pin& pin : items.of(item)) cols.push_back(pin.feature);
    std::sort(cols.begin() + begin, cols.end());
  }
  return Csr::trusted(items.size(), items.n_features, items.offsets, std::move(cols));
}

std::vector<std::int32_t> capacities(std::int32_t n, std::int32_t size) {
  std::vector<std::int32_t> result(at(ceil_div(n, size)), size);
  if (n % size != 0) result.back() = n % size;
  return result;
}

/// Parts of the coarsest items, filled one after the other.
Grouping initial_parts(const Items& items, std::int32_t size) {
  const Csr pattern = pattern_of(items);
  const Csr transposed = transpose(pattern);
  const std::vector<std::int32_t> order =
      fill_groups(pattern, transposed, size, most_common_degree(transposed));
  Grouping parts{.of = std::vector<std::int32_t>(order.size()),
                 .capacity = capacities(items.size(), size)};
  for (std::size_t place = 0; place < order.size(); ++place) {
    parts.of[at(order[place])] = static_cast<std::int32_t>(place) / size;
  }
  return parts;
}

void improve(const Items& items, Grouping& parts, std::int32_t rows_of_item,
             const MultilevelOptions& options) {
  const Prices prices{0, kPriceOfKey};
  const std::int32_t size = parts.capacity.empty() ? 0 : parts.capacity[0];
  SearchStep step{.rounds = 2,
                  .moves_per_item = 2,
                  .slack = std::clamp(size / 8, 1, 16),
                  .seed = options.seed,
                  .threads = options.threads};
  for (int round = 0; round < options.rounds; ++round) {
    const double progress = static_cast<double>(round) / std::max(options.rounds - 1, 1);
    step.balance = rows_of_item * kBalanceFirst * std::pow(kBalanceLast / kBalanceFirst, progress);
    step.seed = options.seed + at(round);
    search(items, parts, prices, step);
  }
  balance(items, parts, prices);
  step.rounds = 1;
  step.moves_per_item = 1;
  for (int round = 0; round < options.rounds; ++round) {
    step.seed = ~options.seed - at(round);
    exchange(items, parts, prices, step);
  }
}

}  // namespace

std::vector<std::int32_t> multilevel_parts(const CsrView& mask, const MultilevelOptions& options) {
  std::vector<std::int32_t> column_itself(at(mask.n_cols));
  std::iota(column_itself.begin(), column_itself.end(), 0);
  std::vector<Items> levels;
  std::vector<std::vector<std::int32_t>> pairs;  // from a level to the next coarser one
  levels.push_back(items_of(mask, column_itself, mask.n_cols, options.threads));
  std::int32_t size = options.group;
  while (size % 2 == 0 && size > kBundlesOfPart) {
    pairs.push_back(pair_up(levels.back(), Random(options.seed, levels.size())));
    levels.push_back(coarsened(levels.back(), pairs.back()));
    size /= 2;
  }
  Grouping parts = initial_parts(levels.back(), size);
  for (std::size_t level = levels.size(); level-- > 0;) {
    if (level + 1 < levels.size()) {
      Grouping finer{.of = pairs[level], .capacity = {}};
      for (std::int32_t& item : finer.of) item = parts.of[at(item)];
      size *= 2;
      finer.capacity = capacities(levels[level].size(), size);
      parts = std::move(finer);
    }
    improve(levels[level], parts, options.group / size, options);
  }
  return Members(parts.of, parts.capacity.size()).list();
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "tile_search.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "members.hpp"
#include "parallel.hpp"
#include "random.hpp"

namespace reorder {
namespace {

/// Groups in a neighbourhood: their counts of one feature fill a cache line.
constexpr std::size_t kLanes = 16;
using Lanes = std::array<std::int32_t, kLanes>;

/// Dearer than any move, and small enough to be added to.
constexpr std::int32_t kForbidden = std::numeric_limits<std::int32_t>::max() / 2;

/// Ties are broken by a random number in [0, kJitter): far below any difference that matters.
constexpr std::uint32_t kJitter = 16;
static_assert(kLanes == 16 && kJitter == 16, "64 random bits break the ties of all lanes");

constexpr int kDeficitsLookedAt = 24;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// Prices and their differences, without a bound on the count.
class PriceList {
 public:
  explicit PriceList(const Prices& prices) : prices_(prices) {
    for (std::size_t c = 0; c + 1 < prices.size(); ++c) next_.push_back(prices[c + 1] - prices[c]);
    next_.push_back(0);
  }
  [[nodiscard]] std::int32_t operator()(std::int32_t count) const {
    return prices_[std::min(at(count), prices_.size() - 1)];
  }
  /// Price of one entry more.
  [[nodiscard]] std::int32_t next(std::int32_t count) const {
    return next_[std::min(at(count), next_.size() - 1)];
  }
  [[nodiscard]] std::int32_t of_adding(std::int32_t added, std::int32_t count) const {
    return (*this)(count + added) - (*this)(count);
  }

 private:
  const Prices& prices_;
  std::vector<std::int32_t> next_;
};

/// What a group pays in all, from the sum of its prices.
class GroupPrice {
 public:
  explicit GroupPrice(const SearchStep& step)
      : unit_(step.unit), steepness_(static_cast<std::int64_t>(16 * step.steepness)) {}

  [[nodiscard]] bool is_plain() const { return unit_ == 0 || steepness_ == 16; }
  [[nodiscard]] std::int64_t operator()(std::int64_t sum) const {
    if (is_plain()) return sum;
    const std::int64_t whole = sum / unit_ * unit_;
    return whole + std::min(unit_, (sum - whole) * steepness_ / 16);
  }

 private:
  std::int64_t unit_;
  std::int64_t steepness_;  ///< in sixteenths
};

/// Gathers groups that share features, at most kLanes at a time, by random walks from item to
/// feature to item.
class Gatherer {
 public:
  Gatherer(const Items& items, const Grouping& grouping) : items_(items), grouping_(grouping) {
    std::vector<std::int32_t> feature_of;
    feature_of.reserve(items.pins.size());
    item_of_.reserve(items.pins.size());
    for (std::int32_t item = 0; item < items.size(); ++item) {
      for (const Pin& pin : items.of(item)) {
        feature_of.push_back(pin.feature);
        item_of_.push_back(item);
      }
    }
    pins_of_feature_.emplace(feature_of, at(items.n_features));
  }

  [[nodiscard]] std::vector<std::vector<std::int32_t>> gather(const Members& members,
                                                              Random& random) const {
    const std::size_t n_groups = grouping_.capacity.size();
    std::vector<std::int32_t> order(n_groups);
    std::iota(order.begin(), order.end(), 0);
    random.shuffle(std::span(order));
    std::vector<bool> taken(n_groups);
    std::vector<std::vector<std::int32_t>> result;
    std::vector<std::int32_t> lonely;
    for (const std::int32_t first : order) {
      if (taken[at(first)]) continue;
      std::vector<std::int32_t> near{first};
      taken[at(first)] = true;
      for (std::size_t tries = 0; tries < 6 * kLanes && near.size() < kLanes; ++tries) {
        const std::int32_t group =
            step(pick(std::span<const std::int32_t>(near), random), members, random);
        if (group < 0 || taken[at(group)]) continue;
        taken[at(group)] = true;
        near.push_back(group);
      }
      if (near.size() > kLanes / 2) {
        result.push_back(std::move(near));
      } else {
        lonely.insert(lonely.end(), near.begin(), near.end());
      }
    }
    for (std::size_t i = 0; i < lonely.size(); i += kLanes) {
      const auto rest = std::span(lonely).subspan(i, std::min(kLanes, lonely.size() - i));
      result.emplace_back(rest.begin(), rest.end());
    }
    return result;
  }

 private:
  template <typename T>
  static T pick(std::span<const T> from, Random& random) {
    return from[random.below(static_cast<std::uint32_t>(from.size()))];
  }

  /// A group that shares a feature with `group`; -1 when the group is empty.
  [[nodiscard]] std::int32_t step(std::int32_t group, const Members& members,
                                  Random& random) const {
    if (members.of(group).empty()) return -1;
    const std::span<const Pin> pins = items_.of(pick(members.of(group), random));
    if (pins.empty()) return -1;
    const std::int32_t pin = pick(pins_of_feature_->of(pick(pins, random).feature), random);
    return grouping_.of[at(item_of_[at(pin)])];
  }

  const Items& items_;
  const Grouping& grouping_;
  std::vector<std::int32_t> item_of_;       ///< by pin
  std::optional<Members> pins_of_feature_;  ///< set once the pins are known
};

/// A few groups with their items, features renumbered, and counts by feature and group.
class Neighbourhood {
 public:
  void load(const Items& items, const Members& members, std::span<const std::int32_t> groups,
            const PriceList& price) {
    for (const std::int32_t feature : features_) local_of_[at(feature)] = -1;
    local_of_.resize(at(items.n_features), -1);
    features_.clear();
    counts_.clear();
    item_.clear();
    lane_.clear();
    offsets_.assign(1, 0);
    pins_.clear();
    for (std::size_t lane = 0; lane < groups.size(); ++lane) {
      in_lane_[lane].clear();
      for (const std::int32_t item : members.of(groups[lane])) {
        in_lane_[lane].push_back(static_cast<std::uint32_t>(item_.size()));
        item_.push_back(item);
        lane_.push_back(static_cast<std::uint8_t>(lane));
        for (const Pin& pin : items.of(item)) add(pin, lane);
        offsets_.push_back(pins_.size());
      }
    }
    paid_.fill(0);
    for (const Lanes& counts : counts_) {
      for (std::size_t b = 0; b < kLanes; ++b) paid_[b] += price(counts[b]);
    }
  }

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(item_.size()); }
  [[nodiscard]] std::int32_t item(std::uint32_t i) const { return item_[i]; }
  [[nodiscard]] std::size_t lane(std::uint32_t i) const { return lane_[i]; }
  [[nodiscard]] std::vector<std::uint32_t>& in_lane(std::size_t lane) { return in_lane_[lane]; }

  /// What it costs to move item i to each lane; its own lane is meaningless.
  [[nodiscard]] Lanes cost_of_moving(std::uint32_t i, const PriceList& price,
                                     const GroupPrice& group_price) const {
    Lanes cost{};
    std::int32_t saved = 0;
    for (const Pin& pin : pins(i)) {
      const Lanes& counts = counts_[at(pin.feature)];
      if (pin.count == 1) {
        for (std::size_t b = 0; b < kLanes; ++b) cost[b] += price.next(counts[b]);
      } else {
        for (std::size_t b = 0; b < kLanes; ++b) cost[b] += price.of_adding(pin.count, counts[b]);
      }
      saved += price.of_adding(pin.count, counts[lane_[i]] - pin.count);
    }
    if (group_price.is_plain()) {
      for (std::int32_t& c : cost) c -= saved;
    } else {
      for (std::size_t b = 0; b < kLanes; ++b)
        cost[b] = change(lane_[i], saved, b, cost[b], group_price);
    }
    return cost;
  }

  /// The same for one lane.
  [[nodiscard]] std::int32_t cost_of_moving(std::uint32_t i, std::size_t to, const PriceList& price,
                                            const GroupPrice& group_price) const {
    const auto [saved, added] = difference(i, to, price);
    return change(lane_[i], saved, to, added, group_price);
  }

  void move(std::uint32_t i, std::size_t to, const PriceList& price) {
    const auto [saved, added] = difference(i, to, price);
    paid_[lane_[i]] -= saved;
    paid_[to] += added;
    for (const Pin& pin : pins(i)) {
      Lanes& counts = counts_[at(pin.feature)];
      counts[lane_[i]] -= pin.count;
      counts[to] += pin.count;
    }
    lane_[i] = static_cast<std::uint8_t>(to);
  }

 private:
  /// What item i's lane saves and `to` pays more when it moves.
  [[nodiscard]] std::pair<std::int32_t, std::int32_t> difference(std::uint32_t i, std::size_t to,
                                                                 const PriceList& price) const {
    std::int32_t saved = 0;
    std::int32_t added = 0;
    for (const Pin& pin : pins(i)) {
      const Lanes& counts = counts_[at(pin.feature)];
      saved += price.of_adding(pin.count, counts[lane_[i]] - pin.count);
      added += price.of_adding(pin.count, counts[to]);
    }
    return {saved, added};
  }

  [[nodiscard]] std::int32_t change(std::size_t from, std::int32_t saved, std::size_t to,
                                    std::int32_t added, const GroupPrice& group_price) const {
    return static_cast<std::int32_t>(group_price(paid_[to] + added) - group_price(paid_[to]) +
                                     group_price(paid_[from] - saved) - group_price(paid_[from]));
  }

  void add(const Pin& pin, std::size_t lane) {
    std::int32_t& local = local_of_[at(pin.feature)];
    if (local < 0) {
      local = static_cast<std::int32_t>(features_.size());
      features_.push_back(pin.feature);
      counts_.push_back({});
    }
    counts_[at(local)][lane] += pin.count;
    pins_.push_back({local, pin.count});
  }

  [[nodiscard]] std::span<const Pin> pins(std::uint32_t i) const {
    return std::span(pins_).subspan(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }

  std::vector<std::int32_t> local_of_;  ///< by feature; -1 for those that are not here
  std::vector<std::int32_t> features_;  ///< that are here
  std::vector<Lanes> counts_;           ///< by local feature
  std::vector<std::int32_t> item_;
  std::vector<std::uint8_t> lane_;                          ///< by local item
  std::array<std::vector<std::uint32_t>, kLanes> in_lane_;  ///< kept up by `exchange` alone
  std::vector<std::size_t> offsets_;
  std::vector<Pin> pins_;  ///< with local features
  std::array<std::int64_t, kLanes> paid_{};
};

std::vector<std::int32_t> excesses(const Grouping& grouping) {
  std::vector<std::int32_t> excess(grouping.capacity.size());
  for (const std::int32_t group : grouping.of) ++excess[at(group)];
  for (std::size_t g = 0; g < excess.size(); ++g) excess[g] -= grouping.capacity[g];
  return excess;
}

/// Runs of `size` groups, of at most kLanes.
std::vector<std::vector<std::int32_t>> families(std::size_t n_groups, std::size_t size) {
  std::vector<std::vector<std::int32_t>> result;
  for (std::size_t g = 0; g < n_groups; ++g) {
    if (g % size % kLanes == 0) result.emplace_back();
    result.back().push_back(static_cast<std::int32_t>(g));
  }
  return result;
}

/// Runs `work(neighbourhood, groups, random)` for all neighbourhoods of each round and writes the
/// items' new groups back.
template <typename Work>
void for_each_neighbourhood(const Items& items, Grouping& grouping, const SearchStep& step,
                            const PriceList& price, Work work) {
  std::optional<Gatherer> gatherer;
  if (step.family == 0) gatherer.emplace(items, grouping);
  std::vector<Neighbourhood> scratch(at(std::max(step.threads, 1)));
  for (int round = 0; round < step.rounds; ++round) {
    const Members members(grouping.of, grouping.capacity.size());
    Random random(step.seed, static_cast<std::uint64_t>(round));
    const auto gathered = gatherer ? gatherer->gather(members, random)
                                   : families(grouping.capacity.size(), at(step.family));
    const std::vector<std::int32_t> excess = excesses(grouping);
    const std::uint64_t round_seed = random.next();
    parallel_for(gathered.size(), step.threads, [&](std::size_t k, std::size_t worker) {
      Neighbourhood& here = scratch[worker];
      here.load(items, members, gathered[k], price);
      if (here.size() == 0) return;
      Lanes excess_here{};
      for (std::size_t lane = 0; lane < gathered[k].size(); ++lane) {
        excess_here[lane] = excess[at(gathered[k][lane])];
      }
      const auto n_moves =
          static_cast<std::int64_t>(step.moves_per_item * static_cast<double>(here.size()));
      work(here, gathered[k].size(), excess_here, n_moves, Random(round_seed, k));
      for (std::uint32_t i = 0; i < here.size(); ++i) {
        grouping.of[at(here.item(i))] = gathered[k][here.lane(i)];
      }
    });
  }
}

}  // namespace

void search(const Items& items, Grouping& grouping, const Prices& prices, const SearchStep& step) {
  const PriceList price(prices);
  const GroupPrice group_price(step);
  const auto balance = static_cast<std::int32_t>(
      std::lround(step.balance * *std::max_element(prices.begin(), prices.end())));
  for_each_neighbourhood(items, grouping, step, price,
                         [&](Neighbourhood& here, std::size_t n_lanes, Lanes excess,
                             std::int64_t n_moves, Random random) {
                           for (std::int64_t m = 0; m < n_moves; ++m) {
                             const std::uint32_t i = random.below(here.size());
                             const std::size_t a = here.lane(i);
                             if (excess[a] <= -step.slack) continue;
                             const Lanes cost = here.cost_of_moving(i, price, group_price);
                             std::size_t best = a;
                             auto least = static_cast<std::int32_t>(random.next() % kJitter);
                             std::uint64_t jitter = random.next();
                             for (std::size_t b = 0; b < n_lanes; ++b, jitter /= kJitter) {
                               if (b == a || excess[b] >= step.slack) continue;
                               const std::int32_t change =
                                   cost[b] + 2 * balance * (excess[b] - excess[a] + 1) +
                                   static_cast<std::int32_t>(jitter % kJitter);
                               if (change < least) {
                                 least = change;
                                 best = b;
                               }
                             }
                             if (best == a) continue;
                             here.move(i, best, price);
                             --excess[a];
                             ++excess[best];
                           }
                         });
}

void exchange(const Items& items, Grouping& grouping, const Prices& prices,
              const SearchStep& step) {
  const PriceList price(prices);
  const GroupPrice group_price(step);
  for_each_neighbourhood(
      items, grouping, step, price,
      [&](Neighbourhood& here, std::size_t n_lanes, const Lanes&, std::int64_t n_moves,
          Random random) {
        if (n_lanes < 2) return;
        for (std::int64_t m = 0; m < n_moves; ++m) {
          const std::uint32_t i = random.below(here.size());
          const std::size_t a = here.lane(i);
          const Lanes cost = here.cost_of_moving(i, price, group_price);
          std::uint64_t jitter = random.next();
          std::size_t b = a;
          std::int32_t least = kForbidden;
          for (std::size_t lane = 0; lane < n_lanes; ++lane, jitter /= kJitter) {
            const std::int32_t c = cost[lane] + static_cast<std::int32_t>(jitter % kJitter);
            if (lane == a || here.in_lane(lane).empty() || c >= least) continue;
            least = c;
            b = lane;
          }
          if (b == a) continue;
          here.move(i, b, price);
          std::int32_t best_change = 1;  // equal exchanges are made: they lead across plateaus
          auto partner = here.in_lane(b).end();
          for (auto j = here.in_lane(b).begin(); j != here.in_lane(b).end(); ++j) {
            const std::int32_t change = cost[b] + here.cost_of_moving(*j, a, price, group_price);
            if (change < best_change) {
              best_change = change;
              partner = j;
            }
          }
          if (partner == here.in_lane(b).end()) {
            here.move(i, a, price);
          } else {
            here.move(*partner, a, price);
            *std::find(here.in_lane(a).begin(), here.in_lane(a).end(), i) = *partner;
            *partner = i;
          }
        }
      });
}

void balance(const Items& items, Grouping& grouping, const Prices& prices) {
  const PriceList price(prices);
  std::vector<std::int32_t> excess = excesses(grouping);
  const Members members(grouping.of, excess.size());
  const auto count = [&](std::span<const std::int32_t> group, std::vector<std::int32_t>& counts) {
    std::fill(counts.begin(), counts.end(), 0);
    for (const std::int32_t item : group) {
      for (const Pin& pin : items.of(item)) counts[at(pin.feature)] += pin.count;
    }
  };
  std::vector<std::int32_t> under;
  for (std::size_t g = 0; g < excess.size(); ++g) {
    if (excess[g] < 0) under.push_back(static_cast<std::int32_t>(g));
  }
  std::vector<std::int32_t> here(at(items.n_features));
  std::vector<std::int32_t> there(at(items.n_features));
  for (std::size_t a = 0; a < excess.size(); ++a) {
    if (excess[a] <= 0) continue;
    const auto group = members.of(static_cast<std::int32_t>(a));
    std::vector<std::int32_t> left(group.begin(), group.end());
    while (excess[a] > 0) {
      count(left, here);
      std::size_t best_item = 0;
      std::int32_t best_group = -1;
      std::int64_t least = std::numeric_limits<std::int64_t>::max();
      std::erase_if(under, [&](std::int32_t g) { return excess[at(g)] >= 0; });
      assert(!under.empty() && "what is over somewhere is missing elsewhere");
      for (const std::int32_t b : std::span(under).first(
               std::min(under.size(), static_cast<std::size_t>(kDeficitsLookedAt)))) {
        count(members.of(b), there);
        for (std::size_t k = 0; k < left.size(); ++k) {
          std::int64_t change = 0;
          for (const Pin& pin : items.of(left[k])) {
            change += price.of_adding(pin.count, there[at(pin.feature)]) -
                      price.of_adding(pin.count, here[at(pin.feature)] - pin.count);
          }
          if (change < least) {
            least = change;
            best_item = k;
            best_group = b;
          }
        }
      }
      grouping.of[at(left[best_item])] = best_group;
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(best_item));
      --excess[a];
      ++excess[at(best_group)];
    }
  }
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
//
// Local search over one side of a mask while the groups of the other side stand still.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace reorder {

/// The entries of one item (a row) in one feature (a tile's worth of columns, or one column).
struct Pin {
  std::int32_t feature;
  std::int32_t count;
};

/// What is to be grouped. With the features fixed, a tile objective is a sum over groups that do
/// not touch each other: a group pays price(c) for each feature of which its items hold c entries.
struct Items {
  std::int32_t n_features = 0;
  std::vector<std::int64_t> offsets{0};  ///< by item, into pins
  std::vector<Pin> pins;

  [[nodiscard]] std::int32_t size() const { return static_cast<std::int32_t>(offsets.size()) - 1; }
  [[nodiscard]] std::span<const Pin> of(std::int32_t item) const {
    const auto begin = static_cast<std::size_t>(offsets[static_cast<std::size_t>(item)]);
    const auto end = static_cast<std::size_t>(offsets[static_cast<std::size_t>(item) + 1]);
    return std::span(pins).subspan(begin, end - begin);
  }
};

struct Grouping {
  std::vector<std::int32_t> of;        ///< the group of each item
  std::vector<std::int32_t> capacity;  ///< items that each group holds in the end
};

/// Prices are integers, in units of 1/kPriceUnit of the dearest: sums are exact in any order and
/// on any machine.
inline constexpr std::int32_t kPriceUnit = 1 << 14;

/// What a group pays for c entries of a feature: prices[min(c, prices.size() - 1)]; prices[0] is 0.
using Prices = std::vector<std::int32_t>;

/// How `search` and `exchange` go about it.
struct SearchStep {
  int rounds = 1;             ///< times that groups are gathered anew
  double moves_per_item = 1;  ///< tried in a round
  /// Dearest prices per squared item that a group is over or under (search).
  double balance = 0.01;
  std::int32_t slack = 16;  ///< most items over or under (search)
  /// When above 0, a group pays in whole units of this price, rounded up...
  std::int32_t unit = 0;
  /// ...as far as this: the first 1/steepness of a unit costs as much as all of it; 1 is no
  /// rounding.
  double steepness = 1;
  /// When above 0, neighbourhoods are runs of so many groups: no item leaves its run.
  std::int32_t family = 0;
  std::uint64_t seed = 0;
  int threads = 1;
};

/// Moves items one by one to where they are cheapest, ties broken at random; groups may become a
/// little larger or smaller than their capacity.
///
/// In each round the groups are gathered in neighbourhoods of 16 that share features, and items
/// move within a neighbourhood only. So neighbourhoods do not see each other, and the result is
/// the same for any number of threads. Work: rounds * moves_per_item * 16 * pins.
void search(const Items& items, Grouping& grouping, const Prices& prices, const SearchStep& step);

/// Lets items change places in pairs, so that the sizes of the groups stand still: an item goes
/// where it is cheapest, and the item of that group that is cheapest to have instead comes back.
/// Neighbourhoods as in `search`. Work: rounds * moves_per_item * capacity * pins.
void exchange(const Items& items, Grouping& grouping, const Prices& prices, const SearchStep& step);

/// Gives each group its capacity: takes the cheapest items from the groups that are over and puts
/// them where they cost least among up to 24 of those that are under.
void balance(const Items& items, Grouping& grouping, const Prices& prices);

}  // namespace reorder

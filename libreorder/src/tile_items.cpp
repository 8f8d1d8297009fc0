// SPDX-License-Identifier: Apache-2.0
#include "tile_items.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "parallel.hpp"
#include "tile_rows.hpp"

namespace reorder {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

Items items_of(const CsrView& pattern, std::span<const std::int32_t> feature_of,
               std::int32_t n_features, int threads) {
  constexpr std::int32_t kRowsAtATime = 1024;
  const auto n_chunks = at(ceil_div(pattern.n_rows, kRowsAtATime));
  std::vector<std::vector<Pin>> pins(n_chunks);
  std::vector<std::vector<std::int32_t>> counts(at(std::max(threads, 1)));
  std::vector<std::int64_t> sizes(at(pattern.n_rows) + 1);
  parallel_for(n_chunks, threads, [&](std::size_t chunk, std::size_t worker) {
    std::vector<std::int32_t>& count = counts[worker];
    count.resize(at(n_features));
    const auto begin = static_cast<std::int32_t>(chunk) * kRowsAtATime;
    const std::int32_t end = std::min(pattern.n_rows - begin, kRowsAtATime) + begin;
    for (std::int32_t row = begin; row < end; ++row) {
      const std::size_t first = pins[chunk].size();
      for (const std::int32_t col : pattern.row(row)) {
        const std::int32_t feature = feature_of[at(col)];
        if (count[at(feature)]++ == 0) pins[chunk].push_back({feature, 0});
      }
      for (std::size_t p = first; p < pins[chunk].size(); ++p) {
        Pin& pin = pins[chunk][p];
        pin.count = std::exchange(count[at(pin.feature)], 0);
      }
      sizes[at(row) + 1] = static_cast<std::int64_t>(pins[chunk].size() - first);
    }
  });
  Items items{.n_features = n_features, .offsets = std::move(sizes), .pins = {}};
  std::partial_sum(items.offsets.begin(), items.offsets.end(), items.offsets.begin());
  items.pins.reserve(at(items.offsets.back()));
  for (const auto& chunk : pins) items.pins.insert(items.pins.end(), chunk.begin(), chunk.end());
  return items;
}

Prices prices_of(const Objective& objective, double smoothing) {
  std::vector<double> price{0};
  const std::int64_t area = std::int64_t{objective.tile.rows} * objective.tile.cols;
  switch (objective.kind) {
    case Objective::Kind::tiles_min:
      // Entries outside of dense tiles have their price: a slope of its own.
      for (std::int64_t c = 1; c < std::min(objective.theta, area + 1); ++c) {
        price.push_back(objective.lambda * static_cast<double>(c));
      }
      price.push_back(1);
      break;
    case Objective::Kind::gather:
      return {0, kPriceOfKey};
    case Objective::Kind::tiles:
    case Objective::Kind::cost_model: {
      const bool model = objective.kind == Objective::Kind::cost_model;
      const double parts = objective.has_parts() ? static_cast<double>(area) /
                                                       (objective.part.rows * objective.part.cols)
                                                 : 0;
      const double tile = !model ? 1 : parts > 0 ? objective.t_tile : objective.t_partial;
      // Of the parts, those that entries thrown in anywhere would hit.
      double missing = 1;
      double parts_missed = parts > 0 ? 1 : 0;
      do {
        missing *= 1 - 1 / smoothing;
        if (parts > 0) parts_missed *= 1 - 1 / parts;
        price.push_back(tile * (1 - missing) + parts * objective.t_partial * (1 - parts_missed));
      } while (std::max(missing, parts_missed) > 1e-4 &&
               static_cast<std::int64_t>(price.size()) < area);
      if (model && objective.t_full != objective.t_partial) {
        price.resize(at(area), price.back());
        price.push_back(parts > 0 ? tile + parts * objective.t_full : objective.t_full);
      }
    }
  }
  const double dearest = *std::max_element(price.begin(), price.end());
  Prices prices;
  prices.reserve(price.size());
  for (const double p : price) {
    prices.push_back(
        static_cast<std::int32_t>(std::lround(p / std::max(dearest, 1e-300) * kPriceUnit)));
  }
  return prices;
}

}  // namespace reorder

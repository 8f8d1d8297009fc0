// SPDX-License-Identifier: Apache-2.0
#include "fill_groups.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "graph.hpp"
#include "tile_rows.hpp"

namespace reorder {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// Fills group after group with rows, each time by the row that brings the fewest columns that the
/// group does not have yet. Columns with more than `most_common` rows tell rows apart too little
/// for their price and do not count.
class Grower {
 public:
  Grower(const CsrView& mask, const CsrView& transposed, std::int32_t group_size,
         std::int64_t most_common)
      : mask_(mask),
        transposed_(transposed),
        group_size_(group_size),
        most_common_(most_common),
        missing_(at(mask.n_rows)),
        stamp_(at(mask.n_rows), -1),
        has_(at(mask.n_cols), -1),
        placed_(at(mask.n_rows)) {}

  /// new_to_old.
  std::vector<std::int32_t> run() {
    const std::vector<std::int32_t> by_degree = sorted_by_key(row_degrees(mask_));
    std::vector<std::int32_t> order;
    order.reserve(at(mask_.n_rows));
    std::size_t next_seed = 0;
    std::int32_t in_group = 0;
    while (order.size() < at(mask_.n_rows)) {
      std::int32_t row = cheapest();
      if (row < 0) {
        while (placed_[at(by_degree[next_seed])]) ++next_seed;
        row = by_degree[next_seed];
      }
      // A group begins with the row nearest to the one before, and shares nothing else with it.
      if (in_group == group_size_) {
        in_group = 0;
        ++group_;
        clear_queue();
      }
      place(row);
      order.push_back(row);
      ++in_group;
    }
    return order;
  }

 private:
  void place(std::int32_t row) {
    placed_[at(row)] = true;
    for (const std::int32_t col : mask_.row(row)) {
      if (has_[at(col)] == group_ || transposed_.degree(col) > most_common_) continue;
      has_[at(col)] = group_;
      for (const std::int32_t other : transposed_.row(col)) {
        if (placed_[at(other)]) continue;
        if (stamp_[at(other)] != group_) {
          stamp_[at(other)] = group_;
          missing_[at(other)] = static_cast<std::int32_t>(mask_.degree(other));
        }
        push(other, --missing_[at(other)]);
      }
    }
  }

  void push(std::int32_t row, std::int32_t missing) {
    if (at(missing) >= queue_.size()) queue_.resize(at(missing) + 1);
    queue_[at(missing)].push_back(row);
    least_ = std::min(least_, at(missing));
    most_ = std::max(most_, at(missing));
  }

  /// The unplaced row that misses the fewest columns; -1 when none shares a column with the group.
  std::int32_t cheapest() {
    for (; least_ < queue_.size() && least_ <= most_; ++least_) {
      while (!queue_[least_].empty()) {
        const std::int32_t row = queue_[least_].back();
        queue_[least_].pop_back();
        // Entries of rows that were placed or have come nearer since are stale.
        if (!placed_[at(row)] && at(missing_[at(row)]) == least_) return row;
      }
    }
    return -1;
  }

  void clear_queue() {
    for (std::size_t k = 0; k < queue_.size() && k <= most_; ++k) queue_[k].clear();
    least_ = queue_.size();
    most_ = 0;
  }

  CsrView mask_;
  CsrView transposed_;
  std::int32_t group_size_;
  std::int64_t most_common_;
  std::int32_t group_ = 0;
  std::vector<std::int32_t> missing_;  ///< by row, valid where stamp_ is the group
  std::vector<std::int32_t> stamp_;
  std::vector<std::int32_t> has_;  ///< by column: the last group that has it
  std::vector<bool> placed_;
  std::vector<std::vector<std::int32_t>> queue_;  ///< rows by the columns that they miss
  std::size_t least_ = 0;
  std::size_t most_ = 0;
};

/// The row tiles of each column: the mask's transpose with its rows put together by tiles.
Csr column_tiles(const CsrView& transposed, std::span<const std::int32_t> row_order,
                 std::int32_t tile_rows) {
  std::vector<std::int32_t> tile_of(row_order.size());
  for (std::size_t place = 0; place < row_order.size(); ++place) {
    tile_of[at(row_order[place])] = static_cast<std::int32_t>(place) / tile_rows;
  }
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> tiles;
  for (std::int32_t col = 0; col < transposed.n_rows; ++col) {
    const auto begin = static_cast<std::ptrdiff_t>(tiles.size());
    for (const std::int32_t row : transposed.row(col)) tiles.push_back(tile_of[at(row)]);
    std::sort(tiles.begin() + begin, tiles.end());
    tiles.erase(std::unique(tiles.begin() + begin, tiles.end()), tiles.end());
    offsets.push_back(static_cast<std::int64_t>(tiles.size()));
  }
  return Csr::trusted(transposed.n_rows,
                      static_cast<std::int32_t>(ceil_div(transposed.n_cols, tile_rows)),
                      std::move(offsets), std::move(tiles));
}

}  // namespace

std::vector<std::int32_t> fill_groups(const CsrView& mask, const CsrView& transposed,
                                      std::int32_t group_size, std::int64_t most_common) {
  return Grower(mask, transposed, group_size, most_common).run();
}

std::vector<std::int32_t> fill_column_groups(const CsrView& transposed,
                                             std::span<const std::int32_t> row_order, Tile tile) {
  const Csr columns = column_tiles(transposed, row_order, tile.rows);
  return Grower(columns, transpose(columns), tile.cols, columns.n_rows()).run();
}

std::int64_t most_common_degree(const CsrView& transposed) {
  std::vector<std::int32_t> degrees = row_degrees(transposed);
  std::erase(degrees, 0);
  if (degrees.empty()) return 0;
  const auto middle = degrees.begin() + static_cast<std::ptrdiff_t>(degrees.size() / 2);
  std::nth_element(degrees.begin(), middle, degrees.end());
  return 8 * std::int64_t{*middle};
}

}  // namespace reorder

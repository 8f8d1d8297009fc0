// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include "generator.hpp"
#include "random.hpp"
#include "rows.hpp"

namespace masks {
namespace {

/// Points in the unit square in units of 2^-31: squared distances are exact in 64 bits, so that
/// which points are nearest, and ties, depend on no rounding.
constexpr int kBits = 31;

struct Point {
  std::int64_t x;
  std::int64_t y;
};

/// Points sorted into square cells, about two in each.
class CellGrid {
 public:
  explicit CellGrid(std::span<const Point> points)
      : points_(points),
        side_(std::max<std::int64_t>(
            1, static_cast<std::int64_t>(std::sqrt(static_cast<double>(points.size()) / 2)))),
        starts_(static_cast<std::size_t>(side_ * side_) + 1, 0),
        members_(points.size()) {
    for (const Point point : points) ++starts_[cell_of(point) + 1];
    for (std::size_t c = 1; c < starts_.size(); ++c) starts_[c] += starts_[c - 1];
    std::vector<std::int32_t> next(starts_.begin(), starts_.end() - 1);
    for (std::size_t i = 0; i < points.size(); ++i) {
      members_[static_cast<std::size_t>(next[cell_of(points[i])]++)] = static_cast<std::int32_t>(i);
    }
  }

  /// The `count` points nearest to point i besides itself, nearer and then lower ones first; all
  /// others when there are fewer.
  void nearest(std::size_t i, std::size_t count, std::vector<std::int32_t>& result) {
    candidates_.clear();
    const std::int64_t x = column(points_[i].x);
    const std::int64_t y = column(points_[i].y);
    for (std::int64_t ring = 0; ring < side_; ++ring) {
      for (std::int64_t cy = y - ring; cy <= y + ring; ++cy) {
        const bool is_edge = cy == y - ring || cy == y + ring;
        for (std::int64_t cx = x - ring; cx <= x + ring;
             cx += is_edge || ring == 0 ? 1 : 2 * ring) {
          collect(i, cx, cy);
        }
      }
      // Whatever lies outside the rings so far is farther than their inner radius.
      if (candidates_.size() < count) continue;
      std::nth_element(candidates_.begin(),
                       candidates_.begin() + static_cast<std::ptrdiff_t>(count) - 1,
                       candidates_.end());
      const std::int64_t radius = ring * (std::int64_t{1} << kBits) / side_;
      if (candidates_[count - 1].first <= radius * radius) break;
    }
    std::sort(candidates_.begin(), candidates_.end());
    if (candidates_.size() > count) candidates_.resize(count);
    result.clear();
    for (const auto& [distance, point] : candidates_) result.push_back(point);
  }

 private:
  [[nodiscard]] std::int64_t column(std::int64_t coordinate) const {
    return (coordinate * side_) >> kBits;
  }
  [[nodiscard]] std::size_t cell_of(Point point) const {
    return static_cast<std::size_t>(column(point.y) * side_ + column(point.x));
  }
  void collect(std::size_t i, std::int64_t cx, std::int64_t cy) {
    if (cx < 0 || cx >= side_ || cy < 0 || cy >= side_) return;
    const auto cell = static_cast<std::size_t>(cy * side_ + cx);
    for (std::int32_t k = starts_[cell]; k < starts_[cell + 1]; ++k) {
      const std::int32_t other = members_[static_cast<std::size_t>(k)];
      if (static_cast<std::size_t>(other) == i) continue;
      const std::int64_t dx = points_[i].x - points_[static_cast<std::size_t>(other)].x;
      const std::int64_t dy = points_[i].y - points_[static_cast<std::size_t>(other)].y;
      candidates_.emplace_back(dx * dx + dy * dy, other);
    }
  }

  std::span<const Point> points_;
  std::int64_t side_;
  std::vector<std::int32_t> starts_;
  std::vector<std::int32_t> members_;
  std::vector<std::pair<std::int64_t, std::int32_t>> candidates_;
};

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t k = params.integer("k");
  check_entries(2.0 * n * static_cast<double>(std::min<std::int64_t>(k, n)),
                "knn(n=" + std::to_string(n) + ",k=" + std::to_string(k) + ")");

  Random random(seed(params));
  std::vector<Point> points(static_cast<std::size_t>(n));
  for (Point& point : points) {
    point.x = static_cast<std::int64_t>(random.bits() >> (64 - kBits));
    point.y = static_cast<std::int64_t>(random.bits() >> (64 - kBits));
  }

  CellGrid grid(points);
  std::vector<Edge> edges;
  std::vector<std::int32_t> neighbours;
  for (std::int32_t i = 0; i < n; ++i) {
    grid.nearest(static_cast<std::size_t>(i), static_cast<std::size_t>(k), neighbours);
    for (const std::int32_t neighbour : neighbours) edges.push_back({i, neighbour});
  }
  return {build_graph(n, edges)};
}

}  // namespace

std::vector<Generator> make_knn() {
  GeneratorInfo info{
      "knn",
      "random points in the unit square; a point sees its nearest and those it is nearest to",
      "",
      {n_param(4096, "points"), integer_param("k", 16, 1, 1 << 20, "nearest points"),
       seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

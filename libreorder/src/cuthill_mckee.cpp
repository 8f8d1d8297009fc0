// SPDX-License-Identifier: Apache-2.0
#include "cuthill_mckee.hpp"

#include <algorithm>
#include <cstddef>

#include "graph.hpp"

namespace reorder {
namespace {

class CuthillMcKee {
 public:
  explicit CuthillMcKee(const CsrView& graph)
      : graph_(graph),
        degrees_(graph_degrees(graph)),
        placed_(static_cast<std::size_t>(graph.n_rows)),
        order_(static_cast<std::size_t>(graph.n_rows)) {}

  std::vector<std::int32_t> run() {
    for (const std::int32_t seed : sorted_by_key(degrees_)) {
      if (placed_[index(seed)]) continue;
      if (degrees_[index(seed)] == 0) {
        order_[n_placed_++] = seed;
        continue;
      }
      place_component(pseudo_peripheral(seed));
    }
    std::reverse(order_.begin(), order_.end());
    return std::move(order_);
  }

 private:
  static std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }

  struct Levels {
    std::int32_t depth = 0;
    std::size_t last_begin = 0;  ///< where the deepest level starts in order_
    std::size_t end = 0;
  };

  /// A breadth-first search of root's component. The unused tail of order_ serves as its queue,
  /// and placed_ is left as it was.
  Levels search(std::int32_t root) {
    std::size_t tail = n_placed_;
    order_[tail++] = root;
    placed_[index(root)] = 1;
    Levels levels;
    for (std::size_t begin = n_placed_, end = tail; begin < end; begin = end, end = tail) {
      levels.last_begin = begin;
      ++levels.depth;
      for (std::size_t head = begin; head < end && tail < stop_; ++head) {
        for (const std::int32_t u : graph_.row(order_[head])) {
          if (placed_[index(u)]) continue;
          placed_[index(u)] = 1;
          order_[tail++] = u;
        }
      }
    }
    levels.end = tail;
    for (std::size_t i = n_placed_; i < tail; ++i) placed_[index(order_[i])] = 0;
    return levels;
  }

  /// George and Liu: walk to a vertex of least degree in the deepest level until that makes the
  /// level structure no deeper.
  std::int32_t pseudo_peripheral(std::int32_t root) {
    stop_ = order_.size();
    Levels levels = search(root);
    stop_ = levels.end;  // the component's size is known now: no edge is left to look at behind it
    for (;;) {
      const auto begin = order_.begin() + static_cast<std::ptrdiff_t>(levels.last_begin);
      const auto end = order_.begin() + static_cast<std::ptrdiff_t>(levels.end);
      const std::int32_t candidate = *std::min_element(
          begin, end, [this](std::int32_t a, std::int32_t b) { return comes_before(a, b); });
      const Levels deeper = search(candidate);
      if (deeper.depth <= levels.depth) return candidate;
      levels = deeper;
    }
  }

  void place_component(std::int32_t root) {
    std::size_t head = n_placed_;
    std::size_t tail = n_placed_;
    order_[tail++] = root;
    placed_[index(root)] = 1;
    for (; head < tail && tail < stop_; ++head) {
      const std::size_t first = tail;
      for (const std::int32_t u : graph_.row(order_[head])) {
        if (placed_[index(u)]) continue;
        placed_[index(u)] = 1;
        order_[tail++] = u;
      }
      std::sort(order_.begin() + static_cast<std::ptrdiff_t>(first),
                order_.begin() + static_cast<std::ptrdiff_t>(tail),
                [this](std::int32_t a, std::int32_t b) { return comes_before(a, b); });
    }
    n_placed_ = tail;
  }

  [[nodiscard]] bool comes_before(std::int32_t a, std::int32_t b) const {
    const std::int32_t degree_a = degrees_[index(a)];
    const std::int32_t degree_b = degrees_[index(b)];
    return degree_a != degree_b ? degree_a < degree_b : a < b;
  }

  CsrView graph_;
  std::vector<std::int32_t> degrees_;
  std::vector<std::uint8_t> placed_;
  std::vector<std::int32_t> order_;
  std::size_t n_placed_ = 0;  ///< order_[0, n_placed_) is final
  std::size_t stop_ = 0;      ///< where order_ holds the whole component
};

}  // namespace

std::vector<std::int32_t> reverse_cuthill_mckee(const CsrView& graph) {
  return CuthillMcKee(graph).run();
}

}  // namespace reorder

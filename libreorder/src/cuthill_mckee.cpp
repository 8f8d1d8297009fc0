// SPDX-License-Identifier: Apache-2.0
#include "cuthill_mckee.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "graph.hpp"
#include "prefetch.hpp"

namespace reorder {
namespace {

/// Neighbours by the rows of a symmetric pattern.
struct SymmetricGraph {
  CsrView graph;

  template <typename Visit>
  void for_each_neighbour(std::int32_t v, Visit visit) const {
    for (const std::int32_t u : graph.row(v)) visit(u);
  }
  void prefetch(std::int32_t v) const { prefetch_row(graph, v); }
};

/// Neighbours by the rows of A and of its transpose; one that both have is visited twice, which a
/// breadth-first search does not mind.
struct SumGraph {
  CsrView a;
  CsrView a_transposed;

  template <typename Visit>
  void for_each_neighbour(std::int32_t v, Visit visit) const {
    for (const std::int32_t u : a.row(v)) visit(u);
    for (const std::int32_t u : a_transposed.row(v)) visit(u);
  }
  void prefetch(std::int32_t v) const {
    prefetch_row(a, v);
    prefetch_row(a_transposed, v);
  }
};

/// Rows and columns as vertices.
struct BipartiteGraph {
  CsrView pattern;
  CsrView transposed;

  template <typename Visit>
  void for_each_neighbour(std::int32_t v, Visit visit) const {
    const std::int32_t n_rows = pattern.n_rows;
    if (v < n_rows) {
      for (const std::int32_t col : pattern.row(v)) visit(n_rows + col);
    } else {
      for (const std::int32_t row : transposed.row(v - n_rows)) visit(row);
    }
  }
  void prefetch(std::int32_t v) const {
    if (v < pattern.n_rows) {
      prefetch_row(pattern, v);
    } else {
      prefetch_row(transposed, v - pattern.n_rows);
    }
  }
};

template <typename Graph>
class CuthillMcKee {
 public:
  CuthillMcKee(const Graph& graph, std::vector<std::int32_t> degrees)
      : graph_(graph),
        degrees_(std::move(degrees)),
        placed_(degrees_.size()),
        order_(degrees_.size()) {}

  std::vector<std::int32_t> run() {
    for (const std::int32_t seed : sorted_by_key(degrees_)) {
      if (placed_[index(seed)]) continue;
      if (degrees_[index(seed)] == 0) {
        order_[n_placed_++] = seed;
      } else {
        place_component(seed);
      }
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

  /// Puts root's component into order_, level by level. `sorted`: as Cuthill and McKee do, the
  /// neighbours of each vertex by degree; else in any order, when only the levels are wanted.
  /// Ends when `stop` places are filled: no edge behind that leads to a new vertex.
  Levels search(std::int32_t root, std::size_t stop, bool sorted) {
    std::size_t tail = n_placed_;
    order_[tail++] = root;
    placed_[index(root)] = 1;
    Levels levels;
    for (std::size_t begin = n_placed_, end = tail; begin < end; begin = end, end = tail) {
      levels.last_begin = begin;
      ++levels.depth;
      for (std::size_t head = begin; head < end && tail < stop; ++head) {
        const std::size_t first = tail;
        if (head + 1 < end) graph_.prefetch(order_[head + 1]);
        graph_.for_each_neighbour(order_[head], [&](std::int32_t u) {
          if (placed_[index(u)]) return;
          placed_[index(u)] = 1;
          order_[tail++] = u;
        });
        if (sorted && tail > first + 1) sort(first, tail);
      }
    }
    levels.end = tail;
    return levels;
  }

  void forget(const Levels& levels) {
    for (std::size_t i = n_placed_; i < levels.end; ++i) placed_[index(order_[i])] = 0;
  }

  /// George and Liu: walk to a vertex of least degree in the deepest level until that makes the
  /// level structure no deeper. The last search has made the component's order.
  void place_component(std::int32_t seed) {
    Levels levels = search(seed, order_.size(), false);
    for (;;) {
      const std::int32_t candidate =
          *std::min_element(at(levels.last_begin), at(levels.end), less());
      forget(levels);
      const Levels deeper = search(candidate, levels.end, true);
      const bool done = deeper.depth <= levels.depth;
      levels = deeper;
      if (done) break;
    }
    n_placed_ = levels.end;
  }

  void sort(std::size_t begin, std::size_t end) { std::sort(at(begin), at(end), less()); }

  std::vector<std::int32_t>::iterator at(std::size_t place) {
    return order_.begin() + static_cast<std::ptrdiff_t>(place);
  }

  [[nodiscard]] auto less() const {
    return [this](std::int32_t a, std::int32_t b) {
      const std::int32_t degree_a = degrees_[index(a)];
      const std::int32_t degree_b = degrees_[index(b)];
      return degree_a != degree_b ? degree_a < degree_b : a < b;
    };
  }

  Graph graph_;
  std::vector<std::int32_t> degrees_;
  std::vector<std::uint8_t> placed_;
  std::vector<std::int32_t> order_;
  std::size_t n_placed_ = 0;  ///< order_[0, n_placed_) is final
};

/// Neighbours of each vertex of A + Aᵀ other than itself.
std::vector<std::int32_t> degrees_of_sum(const CsrView& a, const CsrView& a_transposed) {
  std::vector<std::int32_t> degrees(static_cast<std::size_t>(a.n_rows));
  std::vector<std::int32_t> last_seen_by(degrees.size(), -1);
  for (std::int32_t v = 0; v < a.n_rows; ++v) {
    last_seen_by[static_cast<std::size_t>(v)] = v;  // itself does not count
    std::int32_t degree = 0;
    for (const CsrView* side : {&a, &a_transposed}) {
      for (const std::int32_t u : side->row(v)) {
        std::int32_t& seen = last_seen_by[static_cast<std::size_t>(u)];
        degree += seen != v;
        seen = v;
      }
    }
    degrees[static_cast<std::size_t>(v)] = degree;
  }
  return degrees;
}

}  // namespace

std::vector<std::int32_t> reverse_cuthill_mckee(const CsrView& graph) {
  return CuthillMcKee(SymmetricGraph{graph}, graph_degrees(graph)).run();
}

std::vector<std::int32_t> reverse_cuthill_mckee(const CsrView& a, const CsrView& a_transposed) {
  return CuthillMcKee(SumGraph{a, a_transposed}, degrees_of_sum(a, a_transposed)).run();
}

std::vector<std::int32_t> bipartite_reverse_cuthill_mckee(const CsrView& pattern,
                                                          const CsrView& transposed) {
  std::vector<std::int32_t> degrees = row_degrees(pattern);
  const std::vector<std::int32_t> col = row_degrees(transposed);
  degrees.insert(degrees.end(), col.begin(), col.end());
  return CuthillMcKee(BipartiteGraph{pattern, transposed}, std::move(degrees)).run();
}

}  // namespace reorder

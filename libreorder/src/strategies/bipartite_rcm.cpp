// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "graph.hpp"
#include "strategies/make.hpp"

namespace reorder {
namespace {

/// The bipartite graph of a mask, read from its CSR and its transpose where they lie: vertex i is
/// row i, vertex n_rows + j is column j. Half the memory of the (n_rows + n_cols)² pattern.
class RowsAndColumns {
 public:
  explicit RowsAndColumns(const CsrView& mask) : rows_(mask), cols_(transpose(mask)) {
    const std::int64_t total = std::int64_t{mask.n_rows} + mask.n_cols;
    if (total > std::numeric_limits<std::int32_t>::max()) {
      throw Error(ErrorCode::too_large, "a mask of " + std::to_string(mask.n_rows) + " x " +
                                            std::to_string(mask.n_cols) +
                                            " has more than 2147483647 rows and columns together");
    }
  }

  [[nodiscard]] std::int32_t size() const { return rows_.n_rows + rows_.n_cols; }

  [[nodiscard]] std::int32_t degree(std::int32_t v) const {
    return static_cast<std::int32_t>(v < rows_.n_rows ? rows_.degree(v)
                                                      : cols_.view().degree(v - rows_.n_rows));
  }

  template <typename Visit>
  void for_each_neighbour(std::int32_t v, Visit visit) const {
    if (v < rows_.n_rows) {
      for (const std::int32_t col : rows_.row(v)) visit(rows_.n_rows + col);
    } else {
      for (const std::int32_t row : cols_.view().row(v - rows_.n_rows)) visit(row);
    }
  }

  /// Rows and columns of an order of the vertices, each in the order of its own.
  [[nodiscard]] Ordering split(const std::vector<std::int32_t>& vertices) const {
    std::vector<std::int32_t> rows;
    std::vector<std::int32_t> cols;
    rows.reserve(static_cast<std::size_t>(rows_.n_rows));
    cols.reserve(static_cast<std::size_t>(rows_.n_cols));
    for (const std::int32_t v : vertices) {
      if (v < rows_.n_rows) {
        rows.push_back(v);
      } else {
        cols.push_back(v - rows_.n_rows);
      }
    }
    return {Permutation(std::move(rows)), Permutation(std::move(cols)), false};
  }

 private:
  CsrView rows_;
  Csr cols_;
};

/// Cuthill-McKee on the bipartite graph, component by component, each from a vertex at its rim.
class BipartiteCuthillMcKee {
 public:
  explicit BipartiteCuthillMcKee(const CsrView& mask)
      : graph_(mask), placed_(index(graph_.size())), queue_(index(graph_.size())) {
    degrees_.reserve(index(graph_.size()));
    for (std::int32_t v = 0; v < graph_.size(); ++v) degrees_.push_back(graph_.degree(v));
  }

  Ordering run() {
    for (const std::int32_t seed : sorted_by_key(degrees_)) {
      if (placed_[index(seed)]) continue;
      place_component(degrees_[index(seed)] == 0 ? seed : far_vertex(seed));
    }
    std::reverse(queue_.begin(), queue_.end());
    return graph_.split(queue_);
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  [[nodiscard]] auto comes_before() const {
    return [this](std::int32_t a, std::int32_t b) {
      const std::int32_t degree_a = degrees_[index(a)];
      const std::int32_t degree_b = degrees_[index(b)];
      return degree_a != degree_b ? degree_a < degree_b : a < b;
    };
  }

  struct Levels {
    std::int32_t depth = 0;
    std::size_t last_begin = 0;  ///< where the deepest level starts in queue_
    std::size_t end = 0;
  };

  /// Breadth-first search behind the placed vertices; leaves placed_ as it was.
  Levels search(std::int32_t root) {
    std::size_t tail = n_placed_;
    queue_[tail++] = root;
    placed_[index(root)] = 1;
    Levels levels;
    for (std::size_t begin = n_placed_, end = tail; begin < end; begin = end, end = tail) {
      levels.last_begin = begin;
      ++levels.depth;
      for (std::size_t head = begin; head < end && tail < stop_; ++head) {
        graph_.for_each_neighbour(queue_[head], [&](std::int32_t u) {
          if (placed_[index(u)]) return;
          placed_[index(u)] = 1;
          queue_[tail++] = u;
        });
      }
    }
    levels.end = tail;
    for (std::size_t i = n_placed_; i < tail; ++i) placed_[index(queue_[i])] = 0;
    return levels;
  }

  /// George and Liu: walk to a vertex of least degree in the deepest level until that makes the
  /// level structure no deeper.
  std::int32_t far_vertex(std::int32_t root) {
    stop_ = queue_.size();
    Levels levels = search(root);
    stop_ = levels.end;  // the component's size is known now: no edge is left to look at behind it
    for (;;) {
      const auto level = queue_.begin() + static_cast<std::ptrdiff_t>(levels.last_begin);
      const std::int32_t candidate = *std::min_element(
          level, queue_.begin() + static_cast<std::ptrdiff_t>(levels.end), comes_before());
      const Levels deeper = search(candidate);
      if (deeper.depth <= levels.depth) return candidate;
      levels = deeper;
    }
  }

  void place_component(std::int32_t root) {
    std::size_t tail = n_placed_;
    queue_[tail++] = root;
    placed_[index(root)] = 1;
    for (std::size_t head = n_placed_; head < tail && tail < stop_; ++head) {
      const std::size_t first = tail;
      graph_.for_each_neighbour(queue_[head], [&](std::int32_t u) {
        if (placed_[index(u)]) return;
        placed_[index(u)] = 1;
        queue_[tail++] = u;
      });
      std::sort(queue_.begin() + static_cast<std::ptrdiff_t>(first),
                queue_.begin() + static_cast<std::ptrdiff_t>(tail), comes_before());
    }
    n_placed_ = tail;
  }

  RowsAndColumns graph_;
  std::vector<std::int32_t> degrees_;
  std::vector<std::uint8_t> placed_;
  std::vector<std::int32_t> queue_;  ///< the order so far, and behind it the queue of a search
  std::size_t n_placed_ = 0;
  std::size_t stop_ = 0;  ///< where queue_ holds the whole component
};

}  // namespace

StrategyPtr make_bipartite_rcm() {
  return make_strategy(
      {.name = "bipartite_rcm",
       .summary = "reverse Cuthill-McKee on the graph of rows and columns, each ordered by itself: "
                  "keeps a causal staircase",
       .citation = "Reid and Scott, Reducing the total bandwidth of a sparse unsymmetric matrix, "
                   "SIMAX 28 (2006); the start: George and Liu, TOMS 5 (1979)"},
      [](const CsrView& mask, const Params&, const Context&) {
        return BipartiteCuthillMcKee(mask).run();
      });
}

}  // namespace reorder

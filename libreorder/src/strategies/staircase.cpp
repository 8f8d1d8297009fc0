// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "cuthill_mckee.hpp"
#include "graph.hpp"
#include "members.hpp"
#include "random.hpp"
#include "strategies/make.hpp"
#include "tile_rows.hpp"

namespace reorder {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

constexpr std::int64_t kEntriesCounted = 100'000'000;
constexpr std::int64_t kMostPackings = 16;

/// Weakly connected components, numbered by their first tokens. Union-find with path halving.
Components components_of(const CsrView& mask) {
  std::vector<std::int32_t> parent(at(mask.n_rows));
  std::iota(parent.begin(), parent.end(), 0);
  const auto root = [&](std::int32_t v) {
    while (parent[at(v)] != v) v = parent[at(v)] = parent[at(parent[at(v)])];
    return v;
  };
  for (std::int32_t row = 0; row < mask.n_rows; ++row) {
    for (const std::int32_t col : mask.row(row)) {
      const std::int32_t a = root(row);
      const std::int32_t b = root(col);
      parent[at(std::max(a, b))] = std::min(a, b);
    }
  }
  Components result{.of = std::vector<std::int32_t>(parent.size())};
  for (std::int32_t v = 0; v < mask.n_rows; ++v) {
    // The root is the smallest member, so it has been numbered before the others.
    result.of[at(v)] = root(v) == v ? result.count++ : result.of[at(root(v))];
  }
  return result;
}

/// Strongly connected components of "row attends to column" (Tarjan, without recursion).
class StrongComponents {
 public:
  explicit StrongComponents(const CsrView& mask)
      : mask_(mask),
        of_(at(mask.n_rows), -1),
        low_(at(mask.n_rows)),
        index_(at(mask.n_rows), -1),
        next_(at(mask.n_rows)) {
    for (std::int32_t v = 0; v < mask.n_rows; ++v) {
      if (index_[at(v)] < 0) visit(v);
    }
  }
  [[nodiscard]] const std::vector<std::int32_t>& of() const { return of_; }
  [[nodiscard]] std::int32_t count() const { return count_; }

 private:
  void enter(std::int32_t v) {
    index_[at(v)] = low_[at(v)] = n_entered_++;
    path_.push_back(v);
    open_.push_back(v);
  }

  void visit(std::int32_t start) {
    enter(start);
    while (!path_.empty()) {
      const std::int32_t v = path_.back();
      const auto cols = mask_.row(v);
      bool descended = false;
      while (next_[at(v)] < static_cast<std::int32_t>(cols.size())) {
        const std::int32_t u = cols[at(next_[at(v)]++)];
        if (index_[at(u)] < 0) {
          enter(u);
          descended = true;
          break;
        }
        if (of_[at(u)] < 0) low_[at(v)] = std::min(low_[at(v)], index_[at(u)]);
      }
      if (descended) continue;
      path_.pop_back();
      if (!path_.empty()) {
        low_[at(path_.back())] = std::min(low_[at(path_.back())], low_[at(v)]);
      }
      if (low_[at(v)] == index_[at(v)]) close(v);
    }
  }

  void close(std::int32_t v) {
    std::int32_t member = -1;
    do {
      member = open_.back();
      open_.pop_back();
      of_[at(member)] = count_;
    } while (member != v);
    ++count_;
  }

  CsrView mask_;
  std::vector<std::int32_t> of_;
  std::vector<std::int32_t> low_;
  std::vector<std::int32_t> index_;
  std::vector<std::int32_t> next_;  ///< how far each row has been looked through
  std::vector<std::int32_t> path_;
  std::vector<std::int32_t> open_;
  std::int32_t n_entered_ = 0;
  std::int32_t count_ = 0;
};

/// Tokens such that keys stand before the queries that see them. Of the tokens that may come next
/// the one set free last is taken: a tree is walked in preorder, a document from its start. Tokens
/// that see each other in a circle stay together, in the order of `rank`.
std::vector<std::int32_t> keys_first(const CsrView& mask, const StrongComponents& strong,
                                     const std::vector<std::int32_t>& rank) {
  const Csr seen_by = transpose(mask);
  const Members members(strong.of(), at(strong.count()));
  std::vector<std::int64_t> waiting(at(strong.count()));
  for (std::int32_t row = 0; row < mask.n_rows; ++row) {
    for (const std::int32_t col : mask.row(row)) {
      waiting[at(strong.of()[at(row)])] += strong.of()[at(row)] != strong.of()[at(col)];
    }
  }
  const auto rank_of = [&](std::int32_t k) { return rank[at(members.of(k).front())]; };
  const auto later_first = [&](std::int32_t a, std::int32_t b) { return rank_of(a) > rank_of(b); };
  std::vector<std::int32_t> free;
  for (std::int32_t k = 0; k < strong.count(); ++k) {
    if (waiting[at(k)] == 0) free.push_back(k);
  }
  std::sort(free.begin(), free.end(), later_first);
  std::vector<std::int32_t> order;
  order.reserve(at(mask.n_rows));
  while (!free.empty()) {
    const std::int32_t k = free.back();
    free.pop_back();
    const std::size_t begin = order.size();
    order.insert(order.end(), members.of(k).begin(), members.of(k).end());
    std::sort(order.begin() + static_cast<std::ptrdiff_t>(begin), order.end(),
              [&](std::int32_t a, std::int32_t b) { return rank[at(a)] < rank[at(b)]; });
    const auto set_free = static_cast<std::ptrdiff_t>(free.size());
    for (std::size_t i = begin; i < order.size(); ++i) {
      for (const std::int32_t row : seen_by.view().row(order[i])) {
        const std::int32_t other = strong.of()[at(row)];
        if (other != k && --waiting[at(other)] == 0) free.push_back(other);
      }
    }
    std::sort(free.begin() + set_free, free.end(), later_first);
  }
  return order;
}

/// A component as the packer sees it: a run of tokens and the tiles that it takes by how many rows
/// of tiles it reaches into.
struct Run {
  std::int32_t length = 0;
  double tiles = 0;  ///< when it starts at a tile's edge
  /// Tiles grow as (rows of tiles)^exponent; within one tile a staircase is expected, 3 for 2.
  double exponent = 1.58;
  std::int32_t spans = 1;

  Run(std::int32_t n, std::int64_t n_tiles, std::int32_t tile)
      : length(n), tiles(static_cast<double>(n_tiles)), spans((n + tile - 1) / tile) {
    if (spans > 1 && n_tiles > 1) exponent = std::log(tiles) / std::log(static_cast<double>(spans));
  }
  /// From `begin` on; the tile in which the run before it ends is counted there.
  [[nodiscard]] double cost(std::int64_t begin, std::int32_t tile) const {
    if (tiles == 0) return 0;
    const std::int64_t reached = (begin + length - 1) / tile - begin / tile + 1;
    const double shared = begin % tile == 0 ? 0 : 1;
    if (reached == spans) return tiles - shared;
    return tiles * std::pow(static_cast<double>(reached) / spans, exponent) - shared;
  }
};

/// An order of runs in which few of them reach into one tile more than they need, and those cheap
/// ones: exchanges of two runs that pay, tried at random.
std::vector<std::int32_t> pack(const std::vector<Run>& runs, std::int32_t tile, Random random) {
  std::vector<std::int32_t> order(runs.size());
  std::iota(order.begin(), order.end(), 0);
  // Runs that take no tiles fill the end.
  std::stable_partition(order.begin(), order.end(),
                        [&](std::int32_t r) { return runs[at(r)].tiles > 0; });
  const auto n = static_cast<std::uint32_t>(
      std::count_if(runs.begin(), runs.end(), [](const Run& run) { return run.tiles > 0; }));
  if (n < 2) return order;
  std::vector<std::int64_t> begin(n + 1);
  const auto lay_out = [&](std::uint32_t first, std::uint32_t last) {
    double cost = 0;
    for (std::uint32_t k = first; k <= last; ++k) {
      const Run& run = runs[at(order[k])];
      cost += run.cost(begin[k], tile);
      begin[k + 1] = begin[k] + run.length;
    }
    return cost;
  };
  lay_out(0, n - 1);
  const std::int64_t work = std::min(4000 * std::int64_t{n}, std::int64_t{4'000'000});
  // Exchanges reach less far among many runs, so that all of them get their share of the work.
  const std::uint32_t reach = std::min(n, 64U);
  for (std::int64_t looked_at = 0; looked_at < work;) {
    const std::uint32_t i = random.below(n);
    const std::uint32_t j = (i + 1 + random.below(reach)) % n;
    const auto [first, last] = std::minmax(i, j);
    looked_at += 2 * std::int64_t{last - first} + 1;
    if (first == last) continue;
    const double before = lay_out(first, last);
    std::swap(order[first], order[last]);
    if (lay_out(first, last) > before) {
      std::swap(order[first], order[last]);
      lay_out(first, last);
    }
  }
  return order;
}

Ordering staircase(const CsrView& mask, Tile tile, std::uint64_t seed) {
  const StrongComponents strong(mask);
  std::vector<std::int32_t> rank(at(mask.n_rows));
  if (strong.count() < mask.n_rows) {
    const MaskGraph graph(mask, Diagonal::keep);
    const std::vector<std::int32_t> band = reverse_cuthill_mckee(graph.view());
    for (std::size_t i = 0; i < band.size(); ++i) rank[at(band[i])] = static_cast<std::int32_t>(i);
  } else {
    // Without circles nothing but the branches of trees is left to choose: the largest first.
    const std::vector<std::int32_t> seen = col_degrees(mask);
    const std::int32_t most = seen.empty() ? 0 : *std::max_element(seen.begin(), seen.end());
    for (std::size_t i = 0; i < rank.size(); ++i) rank[i] = most - seen[i];
  }
  const std::vector<std::int32_t> tokens = keys_first(mask, strong, rank);

  const Components components = components_of(mask);
  std::vector<std::int32_t> component_of(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) component_of[i] = components.of[at(tokens[i])];
  const Members places(component_of, at(components.count));
  std::vector<std::int32_t> apart;  // component by component, each in its order
  apart.reserve(tokens.size());
  for (const std::int32_t place : places.list()) apart.push_back(tokens[at(place)]);

  // Tiles of each component when it starts at a tile's edge.
  std::vector<std::int32_t> local(tokens.size());
  std::vector<Run> runs;
  std::vector<std::int64_t> last_seen;
  std::size_t begin = 0;
  for (std::int32_t c = 0; c < components.count; ++c) {
    const std::size_t size = places.of(c).size();
    for (std::size_t i = 0; i < size; ++i)
      local[at(apart[begin + i])] = static_cast<std::int32_t>(i);
    const auto spans = at(ceil_div(static_cast<std::int64_t>(size), tile.cols));
    last_seen.assign(spans, -1);
    std::int64_t tiles = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const auto tile_row = static_cast<std::int64_t>(i) / tile.rows;
      for (const std::int32_t col : mask.row(apart[begin + i])) {
        std::int64_t& last = last_seen[at(local[at(col)] / tile.cols)];
        tiles += last != tile_row;
        last = tile_row;
      }
    }
    runs.emplace_back(static_cast<std::int32_t>(size), tiles, tile.rows);
    begin += size;
  }

  std::vector<std::size_t> begins(runs.size() + 1);
  for (std::size_t c = 0; c < runs.size(); ++c) begins[c + 1] = begins[c] + at(runs[c].length);
  // The packer knows of each run no more than two numbers, so a few of its answers are counted.
  const std::int64_t n_tried = std::clamp<std::int64_t>(
      kEntriesCounted / std::max<std::int64_t>(mask.nnz(), 1), 1, kMostPackings);
  Ordering best;
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (std::int64_t tried = 0; tried < (runs.size() < 2 ? 1 : n_tried); ++tried) {
    std::vector<std::int32_t> order;
    order.reserve(apart.size());
    for (const std::int32_t c : pack(runs, tile.rows, Random(seed, at(tried)))) {
      order.insert(order.end(), apart.begin() + static_cast<std::ptrdiff_t>(begins[at(c)]),
                   apart.begin() + static_cast<std::ptrdiff_t>(begins[at(c) + 1]));
    }
    Ordering packed = Ordering::same(Permutation(std::move(order)));
    const std::int64_t tiles = count_tiles(mask, packed, tile).nonempty;
    if (tiles >= least) continue;
    least = tiles;
    best = std::move(packed);
  }
  return best;
}

}  // namespace

StrategyPtr make_staircase() {
  return make_strategy(
      {.name = "staircase",
       .summary = "keys before the queries that see them, documents packed into tiles, trees in "
                  "preorder; one order for both sides",
       .citation = "own; circles by Tarjan, SIAM J. Comput. 1 (1972)",
       .capabilities = {.rectangular = false, .symmetric_output = true}},
      [](const CsrView& mask, const Params&, const Context& context) {
        return staircase(mask, context.objective.tile, context.seed);
      });
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "hash.hpp"
#include "strategies/make.hpp"

namespace reorder {
namespace {

constexpr std::size_t kHashes = 16;
constexpr std::uint32_t kNothing = std::numeric_limits<std::uint32_t>::max();

/// Two lines agree in a place with the share of their entries that they have in common (Jaccard).
using Sketch = std::array<std::uint32_t, kHashes>;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// One hash an entry: it falls into one of kHashes bins, and each bin keeps its least. A bin
/// without an entry takes what the next one has, with its distance mixed in.
class Sketcher {
 public:
  explicit Sketcher(std::int32_t n_lines) : sketches_(at(n_lines)) {
    for (Sketch& sketch : sketches_) sketch.fill(kNothing);
  }

  void add(std::int32_t line, std::uint64_t hash) {
    std::uint32_t& least = sketches_[at(line)][hash % kHashes];
    least = std::min(least, static_cast<std::uint32_t>(hash >> 33));
  }

  std::vector<Sketch> finish() {
    for (Sketch& sketch : sketches_) {
      const Sketch filled = sketch;
      for (std::size_t bin = 0; bin < kHashes; ++bin) {
        for (std::size_t ahead = 1; ahead < kHashes && sketch[bin] == kNothing; ++ahead) {
          const std::uint32_t borrowed = filled[(bin + ahead) % kHashes];
          if (borrowed == kNothing) continue;
          sketch[bin] = static_cast<std::uint32_t>(hash_index(borrowed, ahead) >> 33);
        }
      }
    }
    return std::move(sketches_);
  }

 private:
  std::vector<Sketch> sketches_;
};

/// A forest of lines in which the lines of a tree are joined in the order of their merging: when
/// trees become one, the leaves of the one follow the leaves of the other.
class Merger {
 public:
  explicit Merger(std::int32_t n) : parent_(at(n)), last_(at(n)), next_(at(n), -1) {
    std::iota(parent_.begin(), parent_.end(), 0);
    last_ = parent_;
  }

  std::int32_t root(std::int32_t v) {
    while (parent_[at(v)] != v) v = parent_[at(v)] = parent_[at(parent_[at(v)])];
    return v;
  }

  void merge(std::int32_t a, std::int32_t b) {
    a = root(a);
    b = root(b);
    if (a == b) return;
    if (b < a) std::swap(a, b);
    parent_[at(b)] = a;
    next_[at(std::exchange(last_[at(a)], last_[at(b)]))] = b;
  }

  [[nodiscard]] std::vector<std::int32_t> leaves() const {
    std::vector<std::int32_t> order;
    order.reserve(parent_.size());
    for (std::size_t v = 0; v < parent_.size(); ++v) {
      if (parent_[v] != static_cast<std::int32_t>(v)) continue;
      for (auto leaf = static_cast<std::int32_t>(v); leaf >= 0; leaf = next_[at(leaf)]) {
        order.push_back(leaf);
      }
    }
    return order;
  }

 private:
  std::vector<std::int32_t> parent_;
  std::vector<std::int32_t> last_;  ///< by root: the last leaf of its tree
  std::vector<std::int32_t> next_;  ///< by leaf: the one behind it in its tree
};

/// Lines whose sketches agree in a whole band are merged; bands of 16 places first, which only
/// equal lines pass, and ever shorter ones, down to a single place.
Permutation merge_alike(const std::vector<Sketch>& sketches) {
  const auto n = static_cast<std::int32_t>(sketches.size());
  Merger merger(n);
  std::vector<std::pair<std::uint64_t, std::int32_t>> keys;
  for (std::size_t width = kHashes; width >= 1; width /= 2) {
    for (std::size_t begin = 0; begin < kHashes; begin += width) {
      keys.clear();
      for (std::int32_t line = 0; line < n; ++line) {
        const Sketch& sketch = sketches[at(line)];
        if (sketch[0] == kNothing) continue;  // without entries
        std::uint64_t key = 0;
        for (std::size_t i = begin; i < begin + width; ++i) key = hash_index(key ^ sketch[i], i);
        keys.emplace_back(key, line);
      }
      std::sort(keys.begin(), keys.end());
      for (std::size_t i = 1; i < keys.size(); ++i) {
        if (keys[i].first == keys[i - 1].first) merger.merge(keys[i - 1].second, keys[i].second);
      }
    }
  }
  return Permutation(merger.leaves());
}

Ordering minhash(const CsrView& mask, std::uint64_t seed) {
  Sketcher rows(mask.n_rows);
  Sketcher cols(mask.n_cols);
  for (std::int32_t row = 0; row < mask.n_rows; ++row) {
    const std::uint64_t row_hash = hash_index(static_cast<std::uint64_t>(row), seed);
    for (const std::int32_t col : mask.row(row)) {
      rows.add(row, hash_index(static_cast<std::uint64_t>(col), seed));
      cols.add(col, row_hash);
    }
  }
  return {merge_alike(rows.finish()), merge_alike(cols.finish()), false};
}

}  // namespace

StrategyPtr make_minhash() {
  return make_strategy(
      {.name = "minhash",
       .summary = "rows, and columns, that are probably alike merged step by step by hashing, "
                  "without a look at pairs: blocks in large masks",
       .citation = "Broder, On the resemblance and containment of documents, SEQUENCES (1997); one "
                   "hash an entry: Shrivastava and Li, ICML (2014)"},
      [](const CsrView& mask, const Params&, const Context& context) {
        return minhash(mask, context.seed);
      });
}

}  // namespace reorder

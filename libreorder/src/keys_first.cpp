// SPDX-License-Identifier: Apache-2.0
#include "keys_first.hpp"

#include <algorithm>

#include "cuthill_mckee.hpp"
#include "graph.hpp"
#include "members.hpp"

namespace reorder {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
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

/// The tokens that may come next stand on a stack, those of least rank on top.
std::vector<std::int32_t> keys_first_by_rank(const CsrView& mask, const StrongComponents& strong,
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

}  // namespace

std::vector<std::int32_t> keys_first(const CsrView& mask) {
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
  return keys_first_by_rank(mask, strong, rank);
}

}  // namespace reorder

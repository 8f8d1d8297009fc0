// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "strategies/make.hpp"

namespace reorder {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// Rows group by group: the first row without a group leads a new one, which takes all later rows
/// without a group whose similarity to the leader, |A ∩ B| ÷ |A ∪ B|, is at least `tau`.
Permutation grouped(const CsrView& mask, const CsrView& transposed, double tau) {
  std::vector<std::int32_t> order;
  order.reserve(at(mask.n_rows));
  std::vector<bool> placed(at(mask.n_rows));
  std::vector<std::int64_t> common(at(mask.n_rows));  // with the leader, of rows in `met`
  std::vector<std::int32_t> met;
  for (std::int32_t leader = 0; leader < mask.n_rows; ++leader) {
    if (placed[at(leader)]) continue;
    order.push_back(leader);
    placed[at(leader)] = true;
    met.clear();
    for (const std::int32_t col : mask.row(leader)) {
      for (const std::int32_t row : transposed.row(col)) {
        if (!placed[at(row)] && common[at(row)]++ == 0) met.push_back(row);
      }
    }
    std::sort(met.begin(), met.end());
    for (const std::int32_t row : met) {
      const std::int64_t both = std::exchange(common[at(row)], 0);
      const std::int64_t either = mask.degree(leader) + mask.degree(row) - both;
      if (static_cast<double>(both) < tau * static_cast<double>(either)) continue;
      order.push_back(row);
      placed[at(row)] = true;
    }
  }
  return Permutation(std::move(order));
}

}  // namespace

StrategyPtr make_similar() {
  return make_strategy(
      {.name = "similar",
       .summary = "groups rows, then columns, whose patterns are alike: a baseline",
       .citation = "after the 1-SA of Sylos Labini et al., arXiv 2202.05868 (2022)",
       .params = {{.name = "tau",
                   .fallback = 0.5,
                   .min = 0,
                   .max = 1,
                   .summary = "least Jaccard similarity to the first of a group"}}},
      [](const CsrView& mask, const Params& params, const Context&) -> Ordering {
        const double tau = params.number("tau");
        const Csr transposed = transpose(mask);
        return {grouped(mask, transposed, tau), grouped(transposed, mask, tau), false};
      });
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "graph.hpp"
#include "strategies/make.hpp"

namespace reorder {
namespace {

/// The lines of one side, hubs apart from the rest.
struct Split {
  std::vector<std::int32_t> hubs;  ///< largest degree first
  std::vector<std::int32_t> rest;  ///< ascending
};

/// Which lines are hubs: their degree is above theta times the median of the non-empty ones. None
/// when they were more than an eighth of all: then they are the mask, not its exceptions.
std::vector<bool> find_hubs(const std::vector<std::int32_t>& degrees, double theta) {
  std::vector<bool> hub(degrees.size());
  std::vector<std::int32_t> nonempty;
  std::copy_if(degrees.begin(), degrees.end(), std::back_inserter(nonempty),
               [](std::int32_t degree) { return degree > 0; });
  if (nonempty.empty()) return hub;
  const auto median = nonempty.begin() + static_cast<std::ptrdiff_t>(nonempty.size() / 2);
  std::nth_element(nonempty.begin(), median, nonempty.end());
  const double threshold = theta * *median;
  std::size_t count = 0;
  for (std::size_t i = 0; i < degrees.size(); ++i) {
    hub[i] = degrees[i] > threshold;
    count += hub[i];
  }
  if (count > degrees.size() / 8) hub.assign(degrees.size(), false);
  return hub;
}

Split split(const std::vector<bool>& hub, const std::vector<std::int32_t>& degrees) {
  Split result;
  for (std::size_t i = 0; i < hub.size(); ++i) {
    (hub[i] ? result.hubs : result.rest).push_back(static_cast<std::int32_t>(i));
  }
  std::stable_sort(result.hubs.begin(), result.hubs.end(), [&](std::int32_t a, std::int32_t b) {
    return degrees[static_cast<std::size_t>(a)] > degrees[static_cast<std::size_t>(b)];
  });
  return result;
}

Permutation expand(const Split& lines, const Permutation& inner, bool last) {
  std::vector<std::int32_t> order;
  order.reserve(lines.hubs.size() + lines.rest.size());
  if (!last) order = lines.hubs;
  for (const std::int32_t place : inner.new_to_old()) {
    order.push_back(lines.rest[static_cast<std::size_t>(place)]);
  }
  if (last) order.insert(order.end(), lines.hubs.begin(), lines.hubs.end());
  return Permutation(std::move(order));
}

/// The entries in the rows and columns that are no hubs.
Csr rest_of(const CsrView& mask, const Split& rows, const Split& cols) {
  std::vector<std::int32_t> new_col(static_cast<std::size_t>(mask.n_cols), -1);
  for (std::size_t i = 0; i < cols.rest.size(); ++i) {
    new_col[static_cast<std::size_t>(cols.rest[i])] = static_cast<std::int32_t>(i);
  }
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> indices;
  for (const std::int32_t row : rows.rest) {
    for (const std::int32_t col : mask.row(row)) {
      const std::int32_t renumbered = new_col[static_cast<std::size_t>(col)];
      if (renumbered >= 0) indices.push_back(renumbered);
    }
    offsets.push_back(static_cast<std::int64_t>(indices.size()));
  }
  return Csr::trusted(static_cast<std::int32_t>(rows.rest.size()),
                      static_cast<std::int32_t>(cols.rest.size()), std::move(offsets),
                      std::move(indices));
}

Reduction::Reduced peel(const CsrView& mask, double theta, bool last) {
  std::vector<std::int32_t> row_degree = row_degrees(mask);
  std::vector<std::int32_t> col_degree = col_degrees(mask);
  std::vector<bool> row_hub = find_hubs(row_degree, theta);
  std::vector<bool> col_hub = find_hubs(col_degree, theta);
  if (mask.is_square()) {
    const auto n_rows = std::count(row_hub.begin(), row_hub.end(), true);
    const auto n_cols = std::count(col_hub.begin(), col_hub.end(), true);
    if (n_rows == n_cols) {
      // What is left is square, so that the next stage will take row i and column i for the same
      // token. They are, once the same tokens have been taken from both sides.
      for (std::size_t i = 0; i < row_hub.size(); ++i) {
        row_hub[i] = col_hub[i] = row_hub[i] || col_hub[i];
      }
      // One order of the hubs serves both sides.
      for (std::size_t i = 0; i < row_degree.size(); ++i) {
        row_degree[i] = col_degree[i] = std::max(row_degree[i], col_degree[i]);
      }
    }
  }
  Split rows = split(row_hub, row_degree);
  Split cols = split(col_hub, col_degree);
  const bool same = mask.is_square() && rows.hubs == cols.hubs;
  Csr rest = rest_of(mask, rows, cols);
  return {std::move(rest),
          [rows = std::move(rows), cols = std::move(cols), same, last](const Ordering& inner) {
            if (same && inner.symmetric) return Ordering::same(expand(rows, inner.rows, last));
            return Ordering{expand(rows, inner.rows, last), expand(cols, inner.cols, last), false};
          }};
}

}  // namespace

StrategyPtr make_peel() {
  return make_reduction(
      {.name = "peel",
       .summary =
           "sets hub rows and columns apart, first or last; the next stage orders what is left",
       .citation = "after SlashBurn: Lim, Kang and Faloutsos, TKDE 26 (2014)",
       .params = {{.name = "theta",
                   .fallback = 8.0,
                   .min = 1,
                   .summary = "a hub has more than theta times the median degree"},
                  {.name = "last",
                   .fallback = std::int64_t{0},
                   .min = 0,
                   .max = 1,
                   .summary = "1: behind the rest, so that groups of a tile begin at its edge"}}},
      [](const CsrView& mask, const Params& params, const Context&) {
        return peel(mask, params.number("theta"), params.integer("last") == 1);
      });
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "random.hpp"

#include <numeric>

#include "strategies/make.hpp"

namespace reorder {
namespace {

Permutation random_permutation(std::int32_t n, Random random) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  random.shuffle(std::span(order));
  return Permutation(std::move(order));
}

}  // namespace

StrategyPtr make_random() {
  return make_strategy(
      {.name = "random",
       .summary = "a random order by the seed, one for both sides of a square mask: the worst case",
       .capabilities = {.symmetric_output = true}},
      [](const CsrView& mask, const Params&, const Context& context) -> Ordering {
        Permutation rows = random_permutation(mask.n_rows, Random(context.seed, 0));
        if (mask.is_square()) return Ordering::same(std::move(rows));
        return {std::move(rows), random_permutation(mask.n_cols, Random(context.seed, 1)), false};
      });
}

}  // namespace reorder

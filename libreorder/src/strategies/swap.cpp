// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "refine.hpp"
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_swap() {
  return make_strategy(
      {.name = "swap",
       .summary = "local search on the objective from the order it is given; never worse than that",
       .citation = "own; after Kernighan and Lin, Bell Syst. Tech. J. 49 (1970)",
       .params = {{.name = "rounds",
                   .fallback = std::int64_t{8},
                   .min = 0,
                   .max = 10000,
                   .summary =
                       "of ten passes over rows and columns; 0 moves bundles of like rows alone"},
                  {.name = "smoothing",
                   .fallback = 0.0,
                   .min = 0,
                   .max = 1000,
                   .summary =
                       "entries over which the first rounds spread a tile's price; 0: by the "
                       "mask; below 1: none"}}},
      [](const CsrView& mask, const Params& params, const Context& context) {
        const double smoothing = params.number("smoothing");
        return refine(mask, context.objective,
                      {.rounds = static_cast<int>(params.integer("rounds")),
                       .smoothing = smoothing == 0 ? 0 : std::max(smoothing, 1.0),
                       .seed = context.seed,
                       .threads = context.threads})
            .ordering;
      });
}

}  // namespace reorder

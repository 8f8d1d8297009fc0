// SPDX-License-Identifier: Apache-2.0
#include "anneal.hpp"

#include "strategies/make.hpp"

namespace reorder {
namespace {

// There are fewer moves than asked for where bundles touch so many others that they would take
// more than this: then there is nothing to be won by them.
constexpr std::int64_t kWorkPerEntry = 40;
constexpr std::int64_t kLeastWork = std::int64_t{1} << 27;

}  // namespace

StrategyPtr make_anneal() {
  return make_strategy(
      {.name = "anneal",
       .summary = "simulated annealing of bundles of neighbouring rows and columns, from the order "
                  "it is given; never worse than that",
       .citation = "Kirkpatrick, Gelatt and Vecchi, Science 220 (1983)",
       .params = {{.name = "parts",
                   .fallback = std::int64_t{2},
                   .min = 1,
                   .max = 65536,
                   .summary = "bundles that a tile is cut into, at most"},
                  {.name = "moves",
                   .fallback = 4000.0,
                   .min = 0,
                   .max = 1e9,
                   .summary = "tried for each bundle, at most"},
                  {.name = "hot",
                   .fallback = 0.5,
                   .min = 1e-6,
                   .max = 1e6,
                   .summary = "temperature at the beginning, in tiles"},
                  {.name = "cold",
                   .fallback = 0.1,
                   .min = 1e-6,
                   .max = 1e6,
                   .summary = "temperature at the end"}}},
      [](const CsrView& mask, const Params& params, const Context& context) {
        return anneal(mask, context.objective,
                      {.parts = static_cast<std::int32_t>(params.integer("parts")),
                       .moves_per_bundle = params.number("moves"),
                       .hot = params.number("hot"),
                       .cold = params.number("cold"),
                       .work_limit = kWorkPerEntry * mask.nnz() + kLeastWork,
                       .seed = context.seed})
            .ordering;
      });
}

}  // namespace reorder

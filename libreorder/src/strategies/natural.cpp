// SPDX-License-Identifier: Apache-2.0
#include "strategies/make.hpp"

namespace reorder {

StrategyPtr make_natural() {
  return make_strategy({.name = "natural",
                        .summary = "leaves the mask in its own order",
                        .capabilities = {.symmetric_output = true}},
                       [](const CsrView& mask, const Params&, const Context&) {
                         return Ordering::identity(mask.n_rows, mask.n_cols);
                       });
}

}  // namespace reorder

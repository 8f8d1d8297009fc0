// SPDX-License-Identifier: Apache-2.0
#include "reorder/strategy.hpp"

namespace reorder {

Ordering Reduction::order(const CsrView& mask, const Params& params, const Context& context) const {
  const Reduced reduced = reduce(mask, params, context);
  return reduced.expand(Ordering::identity(reduced.mask.n_rows(), reduced.mask.n_cols()));
}

}  // namespace reorder

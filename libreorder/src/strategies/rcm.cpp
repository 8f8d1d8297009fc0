// SPDX-License-Identifier: Apache-2.0
#include "cuthill_mckee.hpp"
#include "graph.hpp"
#include "strategies/make.hpp"

namespace reorder {

namespace {

Ordering rcm(const CsrView& mask) {
  if (!mask.is_square()) {
    require_vertices(mask);
    return split_vertices(mask, bipartite_reverse_cuthill_mckee(mask, transpose(mask)));
  }
  // The sum of both is not built, and not even the transpose when it is the mask itself. A false
  // yes, one in 2⁶⁰, would cost quality only: the search takes every vertex all the same.
  return Ordering::same(Permutation(is_symmetric_by_fingerprint(mask)
                                        ? reverse_cuthill_mckee(mask)
                                        : reverse_cuthill_mckee(mask, transpose(mask))));
}

}  // namespace

StrategyPtr make_rcm() {
  return make_strategy(
      {.name = "rcm",
       .summary = "reverse Cuthill-McKee on A + Aᵀ (on rows and columns when rectangular)",
       .citation = "Cuthill and McKee, ACM '69; George and Liu, TOMS 5 (1979)",
       .capabilities = {.symmetric_output = true}},
      [](const CsrView& mask, const Params&, const Context&) { return rcm(mask); });
}

}  // namespace reorder

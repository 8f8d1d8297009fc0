// SPDX-License-Identifier: Apache-2.0
#include "strategies/make.hpp"

#ifdef BLOCKFILL_HAVE_AMD
#include <amd.h>

#include <numeric>
#include <vector>

#include "graph.hpp"
#endif

namespace reorder {

#ifdef BLOCKFILL_HAVE_AMD
namespace {

/// AMD drops the diagonal, makes A + Aᵀ and sets dense rows aside by itself; its result is
/// new_to_old, postordered. It calls no global state.
std::vector<std::int32_t> approximate_minimum_degree(const CsrView& graph, double dense) {
  static_assert(sizeof(int) == sizeof(std::int32_t), "amd_order works on int");
  std::vector<int> order(static_cast<std::size_t>(graph.n_rows));
  std::iota(order.begin(), order.end(), 0);
  if (graph.nnz() == 0) return order;  // AMD refuses a null array, even for no entries
  const std::vector<int> offsets = narrow_offsets(graph, "AMD");
  double control[AMD_CONTROL];
  amd_defaults(control);
  control[AMD_DENSE] = dense;
  const int status = amd_order(graph.n_rows, offsets.data(), graph.col_indices.data(), order.data(),
                               control, nullptr);
  if (status == AMD_OUT_OF_MEMORY) throw Error(ErrorCode::too_large, "AMD ran out of memory");
  if (status != AMD_OK) {
    throw Error(ErrorCode::invalid_pattern, "AMD returned status " + std::to_string(status));
  }
  return order;
}

}  // namespace
#endif

StrategyPtr make_amd() {
  StrategyInfo info{
      .name = "amd",
      .summary = "approximate minimum degree on A + Aᵀ, by SuiteSparse",
      .citation = "Amestoy, Davis and Duff, SIMAX 17 (1996); SuiteSparse AMD",
      .params = {{.name = "dense",
                  .fallback = 10.0,
                  .min = 0,
                  .summary = "rows with more than dense·√n entries are set aside and put last"}},
      .capabilities = {.symmetric_output = true, .needs = "SuiteSparse AMD"}};
#ifdef BLOCKFILL_HAVE_AMD
  return make_strategy(
      std::move(info), [](const CsrView& mask, const Params& params, const Context&) {
        const MaskGraph graph(mask, Diagonal::drop);
        return graph.to_ordering(approximate_minimum_degree(graph.view(), params.number("dense")));
      });
#else
  return make_unavailable(std::move(info));
#endif
}

}  // namespace reorder

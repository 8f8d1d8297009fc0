// SPDX-License-Identifier: Apache-2.0
#include "strategies/make.hpp"

#ifdef BLOCKFILL_HAVE_BOOST
#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/cuthill_mckee_ordering.hpp>
#include <utility>
#include <vector>

#include "graph.hpp"
#endif

namespace reorder {

#ifdef BLOCKFILL_HAVE_BOOST
namespace {

std::vector<std::int32_t> boost_reverse_cuthill_mckee(const CsrView& graph) {
  using Graph =
      boost::compressed_sparse_row_graph<boost::directedS, boost::no_property, boost::no_property,
                                         boost::no_property, std::int32_t, std::int64_t>;
  // Boost finds no start in a graph without vertices.
  if (graph.n_rows == 0) return {};
  std::vector<std::pair<std::int32_t, std::int32_t>> edges;
  edges.reserve(graph.col_indices.size());
  for (std::int32_t row = 0; row < graph.n_rows; ++row) {
    for (const std::int32_t col : graph.row(row)) edges.emplace_back(row, col);
  }
  const Graph boost_graph(boost::edges_are_sorted, edges.begin(), edges.end(), graph.n_rows);

  const auto n = static_cast<std::size_t>(graph.n_rows);
  const auto index = get(boost::vertex_index, boost_graph);
  std::vector<boost::default_color_type> colors(n);
  std::vector<std::int32_t> degrees = row_degrees(graph);
  // Written from the back: that is the reversal. The output is new_to_old.
  std::vector<std::int32_t> order(n);
  boost::cuthill_mckee_ordering(boost_graph, order.rbegin(),
                                boost::make_iterator_property_map(colors.begin(), index),
                                boost::make_iterator_property_map(degrees.begin(), index));
  return order;
}

}  // namespace
#endif

StrategyPtr make_rcm_boost() {
  StrategyInfo info{.name = "rcm_boost",
                    .summary = "reverse Cuthill-McKee by Boost.Graph, to check rcm against",
                    .citation = "Boost.Graph, cuthill_mckee_ordering",
                    .capabilities = {.symmetric_output = true, .needs = "Boost.Graph"}};
#ifdef BLOCKFILL_HAVE_BOOST
  return make_strategy(std::move(info), [](const CsrView& mask, const Params&, const Context&) {
    const MaskGraph graph(mask, Diagonal::drop);
    return graph.to_ordering(boost_reverse_cuthill_mckee(graph.view()));
  });
#else
  return make_unavailable(std::move(info));
#endif
}

}  // namespace reorder

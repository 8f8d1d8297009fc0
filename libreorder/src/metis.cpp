// SPDX-License-Identifier: Apache-2.0
#include "metis.hpp"

#include <metis.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "graph.hpp"
#include "reorder/error.hpp"
#include "tile_rows.hpp"

namespace reorder::metis {
namespace {

/// METIS 5.1 shares one random generator between all threads: two calls at once would make both
/// results depend on chance.
std::mutex& metis_mutex() {
  static std::mutex mutex;
  return mutex;
}

/// A graph as METIS wants it: idx_t arrays, which it never writes to in spite of its signatures.
struct MetisGraph {
  idx_t n = 0;
  std::vector<idx_t> offsets;
  std::vector<idx_t> neighbours;
  std::vector<idx_t> options;

  MetisGraph(const CsrView& graph, std::uint64_t seed) : n(graph.n_rows), options(METIS_NOPTIONS) {
    static_assert(sizeof(idx_t) >= sizeof(std::int32_t), "vertices are numbered in 32 bits");
    if constexpr (sizeof(idx_t) == sizeof(std::int32_t)) {
      const std::vector<std::int32_t> narrow = narrow_offsets(graph, "METIS");
      offsets.assign(narrow.begin(), narrow.end());
    } else {
      offsets.assign(graph.row_offsets.begin(), graph.row_offsets.end());
    }
    neighbours.assign(graph.col_indices.begin(), graph.col_indices.end());
    METIS_SetDefaultOptions(options.data());
    options[METIS_OPTION_NUMBERING] = 0;
    options[METIS_OPTION_SEED] = static_cast<idx_t>(seed & 0x7fffffff);
  }
};

void check(int status, const char* function) {
  if (status == METIS_OK) return;
  const char* reason = status == METIS_ERROR_INPUT    ? "it refuses its input"
                       : status == METIS_ERROR_MEMORY ? "it ran out of memory"
                                                      : "it failed without a reason";
  throw Error(status == METIS_ERROR_MEMORY ? ErrorCode::too_large : ErrorCode::invalid_argument,
              std::string(function) + ": " + reason);
}

/// The part of each vertex. `weights` holds `n_constraints` numbers a vertex, each balanced apart.
std::vector<idx_t> partition(const CsrView& graph, Method method, idx_t parts,
                             std::vector<idx_t> weights, idx_t n_constraints, std::uint64_t seed) {
  MetisGraph metis(graph, seed);
  std::vector<idx_t> part(static_cast<std::size_t>(metis.n));
  idx_t cut = 0;
  const bool kway = method == Method::kway;
  const auto function = kway ? METIS_PartGraphKway : METIS_PartGraphRecursive;
  const std::scoped_lock lock(metis_mutex());
  check(function(&metis.n, &n_constraints, metis.offsets.data(), metis.neighbours.data(),
                 weights.data(), nullptr, nullptr, &parts, nullptr, nullptr, metis.options.data(),
                 &cut, part.data()),
        kway ? "METIS_PartGraphKway" : "METIS_PartGraphRecursive");
  return part;
}

}  // namespace

std::vector<std::int32_t> nested_dissection(const CsrView& graph, std::uint64_t seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(graph.n_rows));
  std::iota(order.begin(), order.end(), 0);
  if (graph.nnz() == 0) return order;  // nothing to dissect, and METIS wants an edge

  MetisGraph metis(graph, seed);
  std::vector<idx_t> perm(order.size());
  std::vector<idx_t> inverse(order.size());
  const std::scoped_lock lock(metis_mutex());
  check(METIS_NodeND(&metis.n, metis.offsets.data(), metis.neighbours.data(), nullptr,
                     metis.options.data(), perm.data(), inverse.data()),
        "METIS_NodeND");
  // METIS's perm, not its iperm, is new_to_old.
  std::copy(perm.begin(), perm.end(), order.begin());
  return order;
}

Ordering order_by_parts(const CsrView& mask, Method method, Vertices vertices, std::int64_t parts,
                        const Context& context) {
  const bool tokens = mask.is_square() && vertices == Vertices::mask_graph;
  std::optional<MaskGraph> of_tokens;
  Csr of_both;
  if (tokens) {
    of_tokens.emplace(mask, Diagonal::drop);
  } else {
    of_both = bipartite_graph(mask);
  }
  const CsrView graph = tokens ? of_tokens->view() : of_both.view();
  const std::int32_t n = graph.n_rows;
  if (parts == 0) {
    const Tile tile = context.objective.tile;
    parts = std::max(ceil_div(mask.n_rows, tile.rows), ceil_div(mask.n_cols, tile.cols));
  }
  // A part without a vertex has no place in the result, and METIS may fail on it.
  parts = std::min<std::int64_t>(parts, n);

  std::vector<std::int32_t> part_of(static_cast<std::size_t>(n));
  if (parts > 1 && graph.nnz() > 0) {
    const idx_t n_constraints = tokens ? 1 : 2;
    std::vector<idx_t> weights(static_cast<std::size_t>(n) *
                               static_cast<std::size_t>(n_constraints));
    for (std::int32_t v = 0; v < n; ++v) {
      const bool second = !tokens && v >= mask.n_rows;
      weights[static_cast<std::size_t>(v) * static_cast<std::size_t>(n_constraints) + second] = 1;
    }
    const std::vector<idx_t> result = partition(graph, method, static_cast<idx_t>(parts),
                                                std::move(weights), n_constraints, context.seed);
    std::copy(result.begin(), result.end(), part_of.begin());
  }
  std::vector<std::int32_t> order = sorted_by_key(part_of);
  if (tokens) return of_tokens->to_ordering(std::move(order));
  return split_vertices(mask, order);
}

}  // namespace reorder::metis

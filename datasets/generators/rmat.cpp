// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "generator.hpp"
#include "random.hpp"
#include "reorder/error.hpp"
#include "rows.hpp"

namespace masks {
namespace {

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const double wanted = n * params.number("edges") / 2;
  const double a = params.number("a");
  const double b = params.number("b");
  const double c = params.number("c");
  if (a + b + c > 1) {
    throw reorder::Error(reorder::ErrorCode::invalid_argument,
                         "rmat: a + b + c is " + std::to_string(a + b + c) +
                             "; together with d, the rest, they are 1");
  }
  check_entries(2 * wanted, "rmat(n=" + std::to_string(n) + ")");

  const int levels = std::bit_width(static_cast<std::uint32_t>(n) - 1);
  Random random(seed(params));
  std::vector<Edge> edges;
  edges.reserve(static_cast<std::size_t>(wanted) + 1);
  for (double e = 0; e + 1 <= wanted; ++e) {
    std::int64_t row = 0;
    std::int64_t col = 0;
    for (int level = 0; level < levels; ++level) {
      const double u = random.uniform();
      row = 2 * row + (u >= a + b);
      col = 2 * col + ((u >= a && u < a + b) || u >= a + b + c);
    }
    // The square of the next power of two is larger than the graph: such an edge is folded back.
    edges.push_back({static_cast<std::int32_t>(row % n), static_cast<std::int32_t>(col % n)});
  }
  return {build_graph(n, edges)};
}

}  // namespace

std::vector<Generator> make_rmat() {
  GeneratorInfo info{
      "rmat",
      "a graph with hubs: each edge falls down a tree of unequal quadrants",
      "Chakrabarti, Zhan, Faloutsos, R-MAT, 2004",
      {n_param(4096, "nodes"), number_param("edges", 16, 0, 1e6, "edge ends of a node, on average"),
       number_param("a", 0.57, 0, 1, "share of the upper left quadrant"),
       number_param("b", 0.19, 0, 1, "upper right"), number_param("c", 0.19, 0, 1, "lower left"),
       seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

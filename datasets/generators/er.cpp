// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"
#include "random.hpp"
#include "rows.hpp"

namespace masks {
namespace {

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const double wanted = n * params.number("degree") / 2;
  check_entries(2 * wanted, "er(n=" + std::to_string(n) + ")");

  Random random(seed(params));
  std::vector<Edge> edges;
  edges.reserve(static_cast<std::size_t>(wanted) + 1);
  for (double e = 0; e + 1 <= wanted; ++e) {
    const std::int32_t a = random.index(n);
    const std::int32_t b = random.index(n);
    edges.push_back({a, b});
  }
  return {build_graph(n, edges)};
}

}  // namespace

std::vector<Generator> make_er() {
  GeneratorInfo info{
      "er",
      "an Erdos-Renyi graph of n * degree / 2 random edges",
      "Erdos, Renyi, On random graphs I, 1959",
      {n_param(4096, "nodes"),
       number_param("degree", 8, 0, 1e6, "neighbours of a node, on average"), seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"
#include "random.hpp"
#include "rows.hpp"

namespace masks {
namespace {

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t blocks = std::min<std::int64_t>(params.integer("blocks"), n);
  const double inside = n * params.number("inside") / 2;
  const double anywhere = n * params.number("outside") / 2;
  check_entries(2 * (inside + anywhere), "sbm(n=" + std::to_string(n) + ")");

  Random random(seed(params));
  std::vector<Edge> edges;
  edges.reserve(static_cast<std::size_t>(inside + anywhere) + 2);
  for (double e = 0; e + 1 <= inside; ++e) {
    const std::int64_t block = random.index(blocks);
    const auto begin = static_cast<std::int32_t>(block * n / blocks);
    const std::int64_t size = (block + 1) * n / blocks - begin;
    const std::int32_t a = begin + random.index(size);
    const std::int32_t b = begin + random.index(size);
    edges.push_back({a, b});
  }
  for (double e = 0; e + 1 <= anywhere; ++e) {
    const std::int32_t a = random.index(n);
    const std::int32_t b = random.index(n);
    edges.push_back({a, b});
  }
  return {build_graph(n, edges)};
}

}  // namespace

std::vector<Generator> make_sbm() {
  GeneratorInfo info{
      "sbm",
      "a stochastic block model: many edges inside blocks, few anywhere",
      "Holland, Laskey, Leinhardt, Stochastic blockmodels: first steps, 1983",
      {n_param(4096, "nodes"), integer_param("blocks", 64, 1, 1 << 24, "runs of equal size"),
       number_param("inside", 24, 0, 1e6, "edges of a node inside its block, on average"),
       number_param("outside", 4, 0, 1e6, "edges of a node anywhere, on average"), seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "generator.hpp"
#include "rows.hpp"

namespace masks {
namespace {

/// The smallest side whose cube is at least n.
std::int64_t cube_side(std::int64_t n) {
  std::int64_t side = 1;
  while (side * side * side < n) ++side;
  return side;
}

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t given = params.integer("side");
  const std::int64_t side = given > 0 ? given : cube_side(n);
  return {build_rows(n, n, [=](std::int32_t i, Row& row) {
    const std::int64_t x = i % side;
    const std::int64_t y = i / side % side;
    const std::int64_t z = i / (side * side);
    for (std::int64_t above = std::max<std::int64_t>(z - 1, 0); above <= z + 1; ++above) {
      for (std::int64_t beside = std::max<std::int64_t>(y - 1, 0);
           beside <= std::min(y + 1, side - 1); ++beside) {
        const std::int64_t line = (above * side + beside) * side;
        row.add(line + std::max<std::int64_t>(x - 1, 0), line + std::min(x + 2, side));
      }
    }
  })};
}

}  // namespace

std::vector<Generator> make_grid3d() {
  GeneratorInfo info{"grid3d",
                     "a solid grid: a node sees itself and its 26 neighbours",
                     "",
                     {n_param(4096, "nodes, layer by layer; the last layer may be cut"),
                      integer_param("side", 0, 0, 46340, "nodes along x and y; 0 makes a cube")}};
  return {{std::move(info), generate}};
}

}  // namespace masks

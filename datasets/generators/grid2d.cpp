// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "generator.hpp"
#include "rows.hpp"

namespace masks {
namespace {

/// The smallest side whose square is at least n.
std::int64_t square_side(std::int64_t n) {
  auto side = static_cast<std::int64_t>(std::sqrt(static_cast<double>(n)));
  while (side * side < n) ++side;
  while ((side - 1) * (side - 1) >= n) --side;
  return side;
}

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t given = params.integer("width");
  const std::int64_t width = given > 0 ? given : square_side(n);
  return {build_rows(n, n, [=](std::int32_t i, Row& row) {
    row.add(i - width);
    row.add(i % width > 0 ? i - 1 : i, i + (i % width + 1 < width ? std::int64_t{2} : 1));
    row.add(i + width);
  })};
}

}  // namespace

std::vector<Generator> make_grid2d() {
  GeneratorInfo info{"grid2d",
                     "a flat grid: a node sees itself and its 4 neighbours",
                     "",
                     {n_param(4096, "nodes, row by row; the last row may be cut"),
                      integer_param("width", 0, 0, kMaxSize, "nodes in a row; 0 makes a square")}};
  return {{std::move(info), generate}};
}

}  // namespace masks

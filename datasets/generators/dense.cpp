// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"
#include "rows.hpp"

namespace masks {

std::vector<Generator> make_dense() {
  GeneratorInfo info{"dense", "every query sees every key", "", {n_param()}};
  return {{std::move(info), [](const reorder::Params& params) -> Generated {
             const std::int32_t n = int32(params, "n");
             return {build_rows(n, n, [=](std::int32_t, Row& row) { row.add(0, n); })};
           }}};
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"
#include "rows.hpp"

namespace masks {

std::vector<Generator> make_causal() {
  GeneratorInfo info{"causal", "a token sees itself and all before it", "", {n_param()}};
  return {{std::move(info), [](const reorder::Params& params) -> Generated {
             const std::int32_t n = int32(params, "n");
             return {build_rows(n, n,
                                [](std::int32_t i, Row& row) { row.add(0, std::int64_t{i} + 1); })};
           }}};
}

}  // namespace masks

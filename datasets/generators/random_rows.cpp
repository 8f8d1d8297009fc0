// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "generator.hpp"
#include "random.hpp"
#include "rows.hpp"

namespace masks {
namespace {

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int32_t k = std::min(int32(params, "k"), n);
  check_entries(static_cast<double>(n) * k,
                "random_rows(n=" + std::to_string(n) + ",k=" + std::to_string(k) + ")");

  // Every row has the same length: no counting.
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(n) + 1);
  for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<std::int64_t>(i) * k;
  std::vector<std::int32_t> columns(static_cast<std::size_t>(offsets.back()));
  Random random(seed(params));
  std::vector<std::int32_t> keys;
  for (auto row = columns.begin(); row != columns.end(); row += k) {
    draw_distinct(random, k, n, keys);
    std::copy(keys.begin(), keys.end(), row);
  }
  return {{n, n, std::move(offsets), std::move(columns)}};
}

}  // namespace

std::vector<Generator> make_random_rows() {
  GeneratorInfo info{
      "random_rows",
      "every query sees k different random keys",
      "",
      {n_param(), integer_param("k", 64, 1, 1 << 24, "keys of a query"), seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

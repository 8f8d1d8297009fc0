// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"
#include "random.hpp"
#include "rows.hpp"

namespace masks {
namespace {

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t window = params.integer("window");
  const std::int64_t globals = params.integer("globals");
  const std::int64_t count = params.integer("random");
  const std::uint64_t base = seed(params);
  return {build_rows(n, n, [=](std::int32_t i, Row& row) {
    if (i < globals) return row.add(0, n);
    row.add(0, globals);
    row.add(i - window, i + window + 1);
    Random random(base, static_cast<std::uint64_t>(i));
    for (std::int64_t k = 0; k < count; ++k) row.add(random.index(n));
  })};
}

}  // namespace

std::vector<Generator> make_bigbird_token() {
  GeneratorInfo info{
      "bigbird_token",
      "a window, global tokens and single random keys for each query",
      "Zaheer et al., Big Bird, arXiv 2007.14062, section 2",
      {n_param(), integer_param("window", 32, 0, kMaxSize, "tokens to either side"),
       integer_param("globals", 16, 0, kMaxSize, "the first so many tokens are global"),
       integer_param("random", 8, 0, 1 << 20, "random keys of a query; they may repeat"),
       seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "generator.hpp"
#include "rows.hpp"

namespace masks {
namespace {

constexpr std::string_view kKinds[] = {"strided", "fixed"};

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t stride = params.integer("stride");
  const std::int64_t summary = std::min(params.integer("summary"), stride);
  const bool fixed = choice(params, "kind", kKinds) == 1;
  return {build_rows(n, n, [=](std::int32_t i, Row& row) {
    const std::int64_t end = std::int64_t{i} + 1;
    if (fixed) {
      const std::int64_t begin = i - i % stride;
      for (std::int64_t block = 0; block < begin; block += stride) {
        row.add(block + stride - summary, block + stride);
      }
      row.add(begin, end);
    } else {
      for (std::int64_t key = i % stride; key < end - stride; key += stride) row.add(key);
      row.add(end - stride, end);
    }
  })};
}

}  // namespace

std::vector<Generator> make_sparse_transformer() {
  GeneratorInfo info{
      "sparse_transformer",
      "causal: the last `stride` tokens and every stride-th before, or a block and block summaries",
      "Child et al., Generating long sequences with sparse transformers, arXiv 1904.10509",
      {n_param(), integer_param("stride", 64, 1, kMaxSize, "tokens of a block"),
       word_param("kind", "strided",
                  "strided: back in steps; fixed: the own block and the ends of those before"),
       integer_param("summary", 8, 1, kMaxSize, "fixed only: tokens at a block's end that stay")}};
  return {{std::move(info), generate}};
}

}  // namespace masks

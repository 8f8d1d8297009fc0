// SPDX-License-Identifier: Apache-2.0
#include "bigbird.hpp"

#include "generator.hpp"
#include "random.hpp"

namespace masks {
namespace {

Generated generate(const reorder::Params& params) {
  BigBird mask;
  mask.n = int32(params, "n");
  mask.window = int32(params, "window");
  mask.globals = int32(params, "globals");
  mask.block = int32(params, "block");
  const std::int64_t count = params.integer("random");
  const std::int64_t blocks = (std::int64_t{mask.n} + mask.block - 1) / mask.block;
  mask.random_blocks = [=, seed = seed(params)](std::int32_t block_row,
                                                std::vector<std::int32_t>& block_cols) {
    Random random(seed, static_cast<std::uint64_t>(block_row));
    for (std::int64_t k = 0; k < count; ++k) block_cols.push_back(random.index(blocks));
  };
  return {build_bigbird(mask)};
}

}  // namespace

std::vector<Generator> make_bigbird() {
  GeneratorInfo info{
      "bigbird",
      "a window, global tokens and random blocks in each block row",
      "Zaheer et al., Big Bird, arXiv 2007.14062",
      {n_param(), integer_param("window", 96, 0, kMaxSize, "tokens to either side"),
       integer_param("globals", 64, 0, kMaxSize, "the first so many tokens are global"),
       integer_param("random", 3, 0, 1 << 20, "random blocks in a block row; they may repeat"),
       integer_param("block", 64, 1, 1 << 20, "rows and columns of a random block"), seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

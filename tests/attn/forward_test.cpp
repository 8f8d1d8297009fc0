// SPDX-License-Identifier: Apache-2.0
//
// Every backend that can run here against attention written out in fp64.
#include <gtest/gtest.h>

#include <string>

#include "attn/oracle.hpp"

namespace attn::test {
namespace {

void check(const std::string& backend, const Problem& problem, const BoolMask& mask,
           TileShape tile) {
  SCOPED_TRACE(backend + ", " + std::string(to_string(problem.dtype)) + ", head_dim " +
               std::to_string(problem.head_dim) + ", " + std::to_string(mask.n_q) + "x" +
               std::to_string(mask.n_k) + ", tile " + to_string(tile) + ", heads " +
               std::to_string(problem.heads) + "/" + std::to_string(problem.kv_heads) + ", seed " +
               std::to_string(problem.seed));
  const Inputs in(problem, mask.n_q, mask.n_k);
  forward(in.args(), mask.tiled(tile), backend, {.threads = 2});
  compare_with_fp64(in, rule_of(mask));
}

class Forward : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Host, Forward, testing::ValuesIn(host_backends()),
                         [](const auto& test) { return test.param; });

TEST_P(Forward, EveryDtypeAndHeadDim) {
  std::uint64_t seed = 1;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t head_dim : {1, 8, 40, 64, 96, 128, 256}) {
      check(GetParam(), {.head_dim = head_dim, .dtype = dtype, .seed = seed},
            random_mask(70, 150, seed), {.block_m = 32, .block_n = 48});
      ++seed;
    }
  }
}

TEST_P(Forward, RandomShapesAndTiles) {
  std::mt19937_64 random(11);
  const auto pick = [&](auto... choices) {
    const std::array list{choices...};
    return list[random() % list.size()];
  };
  for (std::uint64_t seed = 100; seed < 160; ++seed) {
    const auto n_q = static_cast<std::int32_t>(1 + random() % 140);
    const auto n_k = static_cast<std::int32_t>(1 + random() % 280);
    const std::int64_t kv_heads = pick(1, 2);
    const Problem problem{.batch = pick(1, 2),
                          .heads = kv_heads * pick(1, 3),
                          .kv_heads = kv_heads,
                          .head_dim = pick(3, 16, 33),
                          .dtype = pick(DType::f32, DType::f16, DType::bf16),
                          .seed = seed};
    check(GetParam(), problem, random_mask(n_q, n_k, seed),
          {.block_m = pick(8, 16, 24, 64, 128, 256), .block_n = pick(8, 16, 40, 64, 128, 256)});
  }
}

TEST_P(Forward, DenseCausalAndEmptyMasks) {
  const Problem problem{.heads = 2, .kv_heads = 1, .head_dim = 64};
  check(GetParam(), problem, {130, 257, [](int, int) { return true; }}, {128, 128});
  check(GetParam(), problem, {200, 200, [](int i, int j) { return j <= i; }}, {64, 64});
  check(GetParam(), problem, {40, 50, [](int, int) { return false; }}, {16, 16});
}

TEST_P(Forward, ScaleIsUsed) {
  for (const float scale : {0.5f, 0.0f, -0.25f, 30.0f}) {
    check(GetParam(), {.head_dim = 32, .seed = 5, .scale = scale}, random_mask(64, 64, 5),
          {16, 16});
  }
}

TEST_P(Forward, LargeScoresDoNotOverflow) {
  const BoolMask mask = random_mask(40, 60, 9);
  const Problem problem{.head_dim = 8, .scale = 200.0f};
  check(GetParam(), problem, mask, {16, 16});
}

TEST_P(Forward, GroupedQueriesReadTheirKeyHead) {
  // Two key heads with constant values 1 and 2: four query heads return 1, 1, 2, 2.
  const Problem problem{.heads = 4, .kv_heads = 2, .head_dim = 8};
  Inputs in(problem, 16, 16);
  for (std::int64_t n = 0; n < in.v.view().elements(); ++n) in.v.set(n, n < 16 * 8 ? 1.0f : 2.0f);
  const BoolMask ones(16, 16, [](int, int) { return true; });
  forward(in.args(), ones.tiled({8, 8}), GetParam());
  for (std::int64_t h = 0; h < 4; ++h) {
    for (std::int64_t i = 0; i < 16; ++i) {
      EXPECT_NEAR(in.o.get(in.o.offset(0, h, i, 3)), h < 2 ? 1.0f : 2.0f, 1e-5) << h << ", " << i;
    }
  }
}

TEST_P(Forward, MasksPerBatchAndPerHead) {
  for (const auto& [batch, heads] : {std::pair{2, 1}, {1, 4}, {2, 4}}) {
    std::vector<BoolMask> rules;
    std::vector<BlockMask> masks;
    for (int index = 0; index < batch * heads; ++index) {
      rules.push_back(random_mask(50, 70, 40 + static_cast<std::uint64_t>(index)));
      masks.push_back(rules.back().tiled({16, 24}));
    }
    const Problem problem{.batch = 2, .heads = 4, .kv_heads = 2, .head_dim = 16};
    const Inputs in(problem, 50, 70);
    forward(in.args(), BlockMask::stack(masks, batch, heads), GetParam(), {.threads = 2});
    const MaskOf rule = [&, b_count = batch, h_count = heads](std::int64_t b, std::int64_t h,
                                                              std::int32_t i, std::int32_t j) {
      const std::int64_t which = (b_count == 1 ? 0 : b) * h_count + (h_count == 1 ? 0 : h);
      return rules[static_cast<std::size_t>(which)](i, j);
    };
    compare_with_fp64(in, rule);
  }
}

}  // namespace
}  // namespace attn::test

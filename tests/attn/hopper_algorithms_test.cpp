// SPDX-License-Identifier: Apache-2.0
//
// The algorithms dense, naive, bbm and dense_bbm of the backend hopper against fp64. Needs an H100
// or H200.
#include <gtest/gtest.h>

#include <string>

#include "attn/errors.hpp"
#include "attn/hopper_masks.hpp"
#include "attn/on_device.hpp"

namespace attn::test {
namespace {

void run(Algorithm algorithm, const Inputs& in, const BlockMask& mask) {
  const DeviceInputs device(in);
  const auto plan = hopper().prepare(mask, {.algorithm = algorithm});
  plan->forward(device.args());
  plan->forward(device.args());  // a scan leaves nothing behind
  device.fetch(in);
}

void check(Algorithm algorithm, const Problem& problem, const BoolMask& mask) {
  SCOPED_TRACE(std::string(to_string(algorithm)) + ", " + std::string(to_string(problem.dtype)) +
               ", " + std::to_string(mask.n_q) + "x" + std::to_string(mask.n_k) + ", seed " +
               std::to_string(problem.seed));
  const Inputs in(problem, mask.n_q, mask.n_k);
  run(algorithm, in, mask.tiled());
  compare(in, rule_of(mask));
}

class HopperAlgorithm : public testing::TestWithParam<Algorithm> {};
INSTANTIATE_TEST_SUITE_P(Device, HopperAlgorithm,
                         testing::Values(Algorithm::naive, Algorithm::bbm, Algorithm::dense_bbm),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST_P(HopperAlgorithm, IsExactOnEveryKindOfMask) {
  std::uint64_t seed = 1;
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const Problem problem{.heads = 2,
                          .kv_heads = 1,
                          .head_dim = dtype == DType::f16 ? 64 : 128,
                          .dtype = dtype,
                          .seed = seed++};
    check(GetParam(), problem, block_mask(500, 700, seed));
    check(GetParam(), problem, block_mask(65, 4300, seed));  // more than 32 flags a row
    check(GetParam(), problem, {400, 400, [](auto i, auto j) { return j <= i; }});
    check(GetParam(), problem, {300, 450, [](auto, auto) { return true; }});
    check(GetParam(), problem, {300, 450, [](auto, auto) { return false; }});
    check(GetParam(), problem, {500, 300, [](auto i, auto j) { return i / 200 == 1 && j == 299; }});
  }
}

TEST_P(HopperAlgorithm, MasksPerHead) {
  std::vector<BoolMask> rules;
  std::vector<BlockMask> masks;
  for (std::uint64_t seed = 30; seed < 33; ++seed) {
    rules.push_back(block_mask(333, 222, seed));
    masks.push_back(rules.back().tiled());
  }
  const Inputs in({.batch = 2, .heads = 3, .dtype = DType::f16}, 333, 222);
  run(GetParam(), in, BlockMask::stack(masks, 1, 3));
  const MaskOf rule = [&](std::int64_t, std::int64_t h, std::int32_t i, std::int32_t j) {
    return rules[static_cast<std::size_t>(h)](i, j);
  };
  const auto oracle = attention<double>(in, rule);
  const auto plain = attention<float>(in, rule, DType::f16);
  expect_close("O", in.o, oracle.o, plain.o, 1e-3);
}

TEST_P(HopperAlgorithm, AValueThatIsNotFiniteStaysWithItsRows) {
  const BoolMask mask(200, 200, [](int i, int j) { return j == 120 ? i == 5 : j <= i; });
  Inputs in({.dtype = DType::bf16}, 200, 200);
  in.v.set(in.v.offset(0, 0, 120, 3), std::numeric_limits<float>::quiet_NaN());
  run(GetParam(), in, mask.tiled());
  EXPECT_EQ(unsound_rows(in.o), (std::vector<std::int64_t>{5}));
}

TEST(HopperDense, IsExactAtAnyLength) {
  std::uint64_t seed = 70;
  for (const auto& [n_q, n_k] : {std::pair{256, 256}, {130, 1000}, {777, 64}, {50, 65}, {1, 1}}) {
    check(Algorithm::dense, {.heads = 2, .dtype = DType::f16, .seed = seed++},
          {n_q, n_k, [](auto, auto) { return true; }});
  }
}

TEST(HopperDense, RefusesAMask) {
  const BoolMask mask(100, 100, [](auto i, auto j) { return i != 3 || j != 3; });
  expect_error(ErrorCode::invalid_argument, "the algorithm dense looks at no mask", [&] {
    (void)backend("hopper").prepare(mask.tiled(), {.algorithm = Algorithm::dense});
  });
}

}  // namespace
}  // namespace attn::test

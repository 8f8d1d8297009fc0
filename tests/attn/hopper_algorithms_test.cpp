// SPDX-License-Identifier: Apache-2.0
//
// The algorithms dense, naive, bbm and dense_bbm of the backend hopper against fp64. Needs an H100
// or H200.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "attn/device_backward.hpp"
#include "attn/errors.hpp"
#include "attn/hopper_masks.hpp"
#include "attn/orders.hpp"

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

/// The caller's tensors in one order, the mask in another: rows are gathered, or loaded in place.
TEST_P(HopperAlgorithm, OrdersInsideTheCall) {
  const BoolMask mask = block_mask(520, 450, 9);
  const auto kv_order = shuffled(450, 9);
  const auto kv_place = places(kv_order);
  for (const auto& q_order : {shuffled(520, 8), residue_classes(520, 4, 3)}) {
    const auto q_place = places(q_order);
    for (const std::int64_t head_dim : {64, 128}) {
      const Problem problem{.batch = 2, .heads = 2, .head_dim = head_dim, .dtype = DType::bf16};
      const Inputs in(problem, mask.n_q, mask.n_k);
      const DeviceInputs device(in);
      const auto plan = hopper().prepare(
          mask.tiled(), {.algorithm = GetParam(), .q_order = q_order, .kv_order = kv_order});
      plan->forward(device.args());
      device.fetch(in);
      compare(in, [&](auto, auto, std::int32_t i, std::int32_t j) {
        return mask(q_place[static_cast<std::size_t>(i)], kv_place[static_cast<std::size_t>(j)]);
      });
    }
  }
}

TEST_P(HopperAlgorithm, GradientsOfPlantedMasks) {
  std::uint64_t seed = 90;
  for (const auto& [name, mask] : planted_masks(200)) {
    SCOPED_TRACE(name);
    for (const std::int64_t head_dim : {64, 128}) {
      const DType dtype = seed % 3 == 0 ? DType::f16 : DType::bf16;
      check_gradients(
          on_device,
          {.heads = 4, .kv_heads = 2, .head_dim = head_dim, .dtype = dtype, .seed = seed++}, mask,
          {}, {.threads = 2, .algorithm = GetParam()});
    }
  }
}

/// More than 32 flags a row of tiles, and a key tile.
TEST_P(HopperAlgorithm, GradientsOfLongLines) {
  std::uint64_t seed = 120;
  for (const std::int64_t head_dim : {64, 128}) {
    const Problem problem{.head_dim = head_dim, .dtype = DType::bf16, .seed = seed++};
    const PrepareOptions options{.threads = 2, .algorithm = GetParam()};
    check_gradients(on_device, problem, block_mask(65, 4300, seed), {}, options);
    check_gradients(on_device, problem, block_mask(4300, 65, seed), {}, options);
  }
}

TEST_P(HopperAlgorithm, GradientsOfMasksPerBatchAndPerHead) {
  check_gradients_of_stacks(on_device, {.head_dim = 64, .dtype = DType::bf16, .seed = 40}, 250, 300,
                            {128, 64}, {.threads = 2, .algorithm = GetParam()});
}

TEST_P(HopperAlgorithm, GradientsWithOrders) {
  const BoolMask mask = block_mask(333, 450, 9);
  const PrepareOptions options{.threads = 2, .algorithm = GetParam()};
  for (const std::int64_t head_dim : {64, 128}) {
    const Problem problem{
        .heads = 2, .kv_heads = 1, .head_dim = head_dim, .dtype = DType::bf16, .seed = 9};
    check_gradient_orders(on_device, problem, mask, {}, options);
    check_gradients_in_orders(on_device, problem, mask, residue_classes(333, 4, 3),
                              residue_classes(450, 4, 3), {}, options);
  }
}

TEST_P(HopperAlgorithm, NonFiniteValuesReachGradientsOfAllowedPairsAlone) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInf}) {
    check_gradient_containment(on_device, {.head_dim = 64, .dtype = DType::f16, .seed = 3}, bad,
                               {64, 64}, {.threads = 2, .algorithm = GetParam()});
  }
}

/// One plan's passes by turns: a scan for one leaves nothing behind for the other.
TEST_P(HopperAlgorithm, PassesByTurns) {
  const BoolMask mask = block_mask(500, 600, 12);
  const auto plan = hopper().prepare(mask.tiled(), {.algorithm = GetParam(), .backward = true});
  const Backward problem({.heads = 2, .kv_heads = 1, .dtype = DType::bf16, .seed = 12}, 500, 600);
  problem.attend(mask.tiled());
  const DeviceInputs inputs(problem.in);
  const DeviceBackward device(problem, *plan);
  for (int turn = 0; turn < 3; ++turn) {
    plan->forward(inputs.args());
    plan->backward(device.args);
  }
  device.fetch(problem);
  compare_gradients(problem, rule_of(mask));
  inputs.fetch(problem.in);
  compare(problem.in, rule_of(mask));
}

TEST(HopperDense, IsExactAtAnyLength) {
  std::uint64_t seed = 70;
  for (const auto& [n_q, n_k] : {std::pair{256, 256}, {130, 1000}, {777, 64}, {50, 65}, {1, 1}}) {
    check(Algorithm::dense, {.heads = 2, .dtype = DType::f16, .seed = seed++},
          {n_q, n_k, [](auto, auto) { return true; }});
  }
}

TEST(HopperDense, Gradients) {
  std::uint64_t seed = 170;
  for (const auto& [n_q, n_k] : {std::pair{256, 256}, {130, 1000}, {777, 64}, {50, 65}, {1, 1}}) {
    const BoolMask all(n_q, n_k, [](auto, auto) { return true; });
    const PrepareOptions dense{.threads = 2, .algorithm = Algorithm::dense};
    for (const std::int64_t head_dim : {64, 128}) {
      const Problem problem{.heads = 2, .head_dim = head_dim, .dtype = DType::f16, .seed = seed++};
      check_gradients(on_device, problem, all, {}, dense);
    }
    check_gradient_orders(on_device, {.dtype = DType::bf16, .seed = seed}, all, {}, dense);
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

// SPDX-License-Identifier: Apache-2.0
//
// The gradients of the Hopper backend against fp64. Needs an H100 or H200.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <limits>
#include <string>

#include "attn/device_backward.hpp"
#include "attn/errors.hpp"
#include "attn/hopper_masks.hpp"

namespace attn::test {
namespace {

/// In each way that there is to make gradients.
class HopperBackward : public testing::TestWithParam<BackwardForm> {
 protected:
  RunBackward run = [](const Backward& problem, const BlockMask& mask,
                       const PrepareOptions& options) {
    on_device_by(GetParam(), problem, mask, options);
  };
};
INSTANTIATE_TEST_SUITE_P(Gpu, HopperBackward, testing::ValuesIn(kBackwardForms),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(HopperBackward, DenseAndCausal) {
  std::uint64_t seed = 1;
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const std::int64_t head_dim : {64, 128}) {
      const Problem problem{.head_dim = head_dim, .dtype = dtype, .seed = seed++};
      check_gradients(run, problem, BoolMask(256, 384, [](auto, auto) { return true; }));
      check_gradients(run, problem, BoolMask(384, 384, [](auto i, auto j) { return j <= i; }));
    }
  }
}

TEST_P(HopperBackward, PlantedMasks) {
  std::uint64_t seed = 50;
  for (const auto& [name, mask] : planted_masks(330)) {
    SCOPED_TRACE(name);
    for (const std::int64_t head_dim : {64, 128}) {
      check_gradients(
          run,
          {.heads = 4, .kv_heads = 2, .head_dim = head_dim, .dtype = DType::bf16, .seed = seed++},
          mask);
    }
  }
}

TEST_P(HopperBackward, Families) {
  const std::int32_t n = 500;
  const std::vector<std::pair<const char*, BoolMask>> masks{
      {"window", {n, n, [](auto i, auto j) { return std::abs(i - j) <= 128; }}},
      {"longformer",
       {n, n, [](auto i, auto j) { return std::abs(i - j) <= 64 || i < 8 || j < 8; }}},
      {"dilated", {n, n, [](auto i, auto j) { return (i - j) % 8 == 0 && std::abs(i - j) < 300; }}},
      {"documents", {n, n, [](auto i, auto j) { return j <= i && i / 150 == j / 150; }}}};
  std::uint64_t seed = 80;
  for (const auto& [name, mask] : masks) {
    SCOPED_TRACE(name);
    for (const DType dtype : {DType::bf16, DType::f16}) {
      for (const std::int64_t head_dim : {64, 128}) {
        check_gradients(run, {.head_dim = head_dim, .dtype = dtype, .seed = seed++}, mask);
      }
    }
  }
}

/// 100 shapes, in four parts that can run side by side.
class RandomGradients : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Gpu, RandomGradients, testing::Range<std::uint64_t>(0, 4));

TEST_P(RandomGradients, MatchTheOracle) {
  std::mt19937_64 random(31 + GetParam());
  const std::uint64_t first = 100 + 25 * GetParam();
  for (std::uint64_t seed = first; seed < first + 25; ++seed) {
    const auto [problem, mask, tile] = random_case(random, seed, 400, 500);
    const BackwardForm& form = kBackwardForms[seed % std::size(kBackwardForms)];
    SCOPED_TRACE(form.name);
    const auto run = [&form](const Backward& gradients, const BlockMask& tiled,
                             const PrepareOptions& options) {
      on_device_by(form, gradients, tiled, options);
    };
    check_gradients(run, problem, mask, tile);
    if (HasFailure()) return;
  }
}

/// Many more items than multiprocessors: each computes a stream of them.
TEST_P(HopperBackward, LongStreams) {
  std::uint64_t seed = 400;
  for (const std::int64_t head_dim : {64, 128}) {
    const Problem problem{.batch = 2,
                          .heads = 70,
                          .kv_heads = 70,
                          .head_dim = head_dim,
                          .dtype = DType::bf16,
                          .seed = seed};
    check_gradients(run, problem, block_mask(130, 130, seed++));
    check_gradients(run, problem,
                    BoolMask(130, 200, [](auto i, auto j) { return i / 64 == j / 64; }));
  }
}

/// One warpgroup passes over more steps than are in flight while the other runs them all, and the
/// other way round.
TEST_P(HopperBackward, LongGaps) {
  std::uint64_t seed = 500;
  for (const std::int64_t head_dim : {64, 128}) {
    const BoolMask rows(128, 1300,
                        [](auto i, auto j) { return i < 64 ? j < 64 || j >= 1200 : j % 640 != 0; });
    const BoolMask keys(1300, 128, [&](auto i, auto j) { return rows(j, i); });
    const Problem problem{
        .heads = 4, .kv_heads = 2, .head_dim = head_dim, .dtype = DType::bf16, .seed = seed++};
    check_gradients(run, problem, rows);
    check_gradients(run, problem, keys);
  }
}

TEST_P(HopperBackward, MasksPerBatchAndPerHead) {
  for (const std::int64_t head_dim : {64, 128}) {
    check_gradients_of_stacks(run, {.head_dim = head_dim, .dtype = DType::bf16, .seed = 40}, 250,
                              300, {128, 64});
  }
}

TEST_P(HopperBackward, OrdersInsideTheCall) {
  for (const std::int64_t head_dim : {64, 128}) {
    check_gradient_orders(run,
                          {.batch = 2,
                           .heads = 2,
                           .kv_heads = 1,
                           .head_dim = head_dim,
                           .dtype = DType::bf16,
                           .seed = 9},
                          block_mask(333, 450, 9));
  }
}

TEST_P(HopperBackward, OrdersWithMasksPerBatchAndPerHead) {
  const auto q_order = shuffled(250, 42), kv_order = shuffled(300, 43);
  for (const std::int64_t head_dim : {64, 128}) {
    check_gradients_of_stacks(run, {.head_dim = head_dim, .dtype = DType::bf16, .seed = 41}, 250,
                              300, {128, 64},
                              {.threads = 2, .q_order = q_order, .kv_order = kv_order});
  }
}

/// Several launches, the last of fewer heads than the others.
TEST_P(HopperBackward, OrdersOfManyHeads) {
  for (const std::int64_t head_dim : {64, 128}) {
    check_gradient_orders(run,
                          {.batch = 2,
                           .heads = 14,
                           .kv_heads = 7,
                           .head_dim = head_dim,
                           .dtype = DType::bf16,
                           .seed = 11},
                          block_mask(233, 170, 11));
  }
}

/// One fp32 dQ (or dK, where there are more keys) holds what a call keeps; in one pass without
/// orders all but the numbers of each query and block.
TEST_P(HopperBackward, WorkspaceOfOrders) {
  struct Shape {
    std::int64_t batch, heads, kv_heads;
    std::int32_t n_q, n_k;
  };
  for (const auto& [batch, heads, kv_heads, n_q, n_k] : {Shape{4, 16, 16, 1024, 1024},
                                                         {4, 32, 8, 1024, 1024},
                                                         {6, 8, 1, 1024, 1024},
                                                         {1, 16, 4, 700, 900},
                                                         {2, 8, 8, 500, 1500},
                                                         {3, 7, 7, 1300, 300}}) {
    const BoolMask causal(n_q, n_k, [](auto i, auto j) { return j <= i; });
    const BlockMask tiled = causal.tiled();
    const auto none = std::vector<std::int32_t>{};
    const std::vector<std::int32_t> q_orders[] = {none, shuffled(n_q, 1), residue_classes(n_q, 8),
                                                  residue_classes(n_q, 3, 200)};
    const std::vector<std::int32_t> kv_orders[] = {none, shuffled(n_k, 1), residue_classes(n_k, 8),
                                                   residue_classes(n_k, 3, 100)};
    for (const auto& q_order : q_orders) {
      for (const auto& kv_order : kv_orders) {
        const auto plan = hopper().prepare(tiled, {.q_order = q_order,
                                                   .kv_order = kv_order,
                                                   .backward = true,
                                                   .backward_passes = GetParam().passes});
        for (const std::int64_t head_dim : {64, 128}) {
          BackwardArgs args;
          args.q = args.d_o = contiguous(nullptr, DType::bf16, {batch, heads, n_q, head_dim});
          args.k = args.v = contiguous(nullptr, DType::bf16, {batch, kv_heads, n_k, head_dim});
          args.deterministic = GetParam().deterministic;
          const std::int64_t rows =
              std::max(batch * heads * ((n_q + 127) / 128 * 128), batch * kv_heads * n_k);
          const std::int64_t beside = q_order.empty() && kv_order.empty() ? 9 * rows + 1024 : 0;
          EXPECT_LE(plan->backward_workspace(args),
                    static_cast<std::size_t>(rows * head_dim * 4 + beside))
              << batch << "x" << heads << "/" << kv_heads << " heads, " << n_q << "x" << n_k
              << ", head_dim " << head_dim << ", orders of " << q_order.size() << " and "
              << kv_order.size();
        }
      }
    }
  }
}

/// Rows that are loaded where they lie; of the queries alone, of the keys alone, and with an order
/// of the other side that is copied. In two passes, whatever is asked.
TEST(HopperBackwardOrders, InBoxes) {
  std::uint64_t seed = 700;
  for (const std::int64_t head_dim : {64, 128}) {
    for (const DType dtype : {DType::bf16, DType::f16}) {
      const Problem p{
          .heads = 2, .kv_heads = 1, .head_dim = head_dim, .dtype = dtype, .seed = seed};
      const BoolMask mask = block_mask(533, 450, seed++);
      check_gradients_in_orders(on_device, p, mask, residue_classes(533, 8, 16),
                                residue_classes(450, 8, 16));
      check_gradients_in_orders(on_device, p, mask, residue_classes(533, 3), shuffled(450, seed));
    }
  }
}

TEST_P(HopperBackward, ScalesOfEverySign) {
  for (const float scale : {0.5F, 0.0F, -0.25F, 2.0F}) {
    SCOPED_TRACE(scale);
    check_gradients(run, {.head_dim = 64, .dtype = DType::f16, .seed = 5, .scale = scale},
                    block_mask(200, 260, 5));
  }
}

TEST_P(HopperBackward, NonFiniteValuesReachAllowedPairsAlone) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInf, -kInf}) {
    for (const DType dtype : {DType::f16, DType::bf16}) {
      for (const std::int64_t head_dim : {64, 128}) {
        check_gradient_containment(run, {.head_dim = head_dim, .dtype = dtype, .seed = 3}, bad,
                                   {64, 64});
      }
    }
  }
}

TEST(HopperBackward, NonFiniteValuesReachAllowedPairsAloneInOrders) {
  const auto classes_of_queries = residue_classes(64, 4, 8), any_queries = shuffled(64, 3);
  const auto classes_of_keys = residue_classes(128, 8, 20), any_keys = shuffled(128, 4);
  for (const std::int64_t head_dim : {64, 128}) {
    const Problem p{.head_dim = head_dim, .dtype = DType::bf16, .seed = 3};
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      check_gradient_containment(
          on_device, p, bad, {64, 64},
          {.threads = 2, .q_order = classes_of_queries, .kv_order = classes_of_keys});
      check_gradient_containment(on_device, p, bad, {64, 64},
                                 {.threads = 2, .q_order = any_queries, .kv_order = any_keys});
    }
  }
}

std::string bits_of(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.view().data),
          static_cast<std::size_t>(tensor.view().elements()) * size_of(tensor.view().dtype)};
}

TEST_P(HopperBackward, SameBitsTwice) {
  if (!GetParam().deterministic) GTEST_SKIP() << "sums come in any order";
  for (const std::int64_t head_dim : {64, 128}) {
    for (const bool dense : {false, true}) {
      const BoolMask mask =
          dense ? BoolMask(900, 1100, [](auto, auto) { return true; }) : block_mask(900, 1100, 8);
      const BlockMask tiled = mask.tiled();
      const Problem p{.batch = 2,
                      .heads = 8,
                      .kv_heads = 4,
                      .head_dim = head_dim,
                      .dtype = DType::bf16,
                      .seed = 8};
      const auto plan =
          hopper().prepare(tiled, {.backward = true, .backward_passes = GetParam().passes});
      std::string before;
      for (int repeat = 0; repeat < 4; ++repeat) {
        const Backward problem(p, 900, 1100);
        forward(problem.in.args(), tiled, "cpu");
        const DeviceBackward device(problem, *plan);
        plan->backward(device.args);
        device.fetch(problem);
        const std::string now = bits_of(problem.dq) + bits_of(problem.dk) + bits_of(problem.dv);
        if (repeat != 0) {
          EXPECT_TRUE(now == before) << "head_dim " << head_dim << ", run " << repeat;
        }
        before = now;
      }
    }
  }
}

/// One plan on two streams at once, a workspace each.
TEST_P(HopperBackward, TwoStreamsAtOnce) {
  const BoolMask mask = block_mask(700, 900, 41);
  const BlockMask tiled = mask.tiled();
  const auto plan =
      hopper().prepare(tiled, {.backward = true, .backward_passes = GetParam().passes});
  std::array<cudaStream_t, 2> streams{};
  std::vector<std::unique_ptr<Backward>> problems;
  std::vector<std::unique_ptr<DeviceBackward>> device;
  for (std::size_t s = 0; s < 2; ++s) {
    ASSERT_EQ(cudaStreamCreateWithFlags(&streams[s], cudaStreamNonBlocking), cudaSuccess);
    const Problem p{.heads = 2, .kv_heads = 2, .head_dim = 64, .dtype = DType::f16, .seed = 60 + s};
    problems.push_back(std::make_unique<Backward>(p, 700, 900));
    problems[s]->attend(tiled);
    device.push_back(
        std::make_unique<DeviceBackward>(*problems[s], *plan, GetParam().deterministic));
    device[s]->args.stream = streams[s];
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (int repeat = 0; repeat < 20; ++repeat) {
    for (const auto& one : device) plan->backward(one->args);
  }
  for (std::size_t s = 0; s < 2; ++s) {
    device[s]->fetch(*problems[s]);
    compare_gradients(*problems[s], rule_of(mask));
    ASSERT_EQ(cudaStreamDestroy(streams[s]), cudaSuccess);
  }
}

/// In a graph, which admits no allocation and no wait.
TEST_P(HopperBackward, InsideAGraph) {
  const BoolMask mask = block_mask(300, 300, 78);
  const BlockMask tiled = mask.tiled();
  std::vector<std::int32_t> order(300);
  for (std::int32_t i = 0; i < 300; ++i) order[static_cast<std::size_t>(i)] = i * 7 % 300;
  const auto plan = hopper().prepare(tiled, {.q_order = order,
                                             .kv_order = order,
                                             .backward = true,
                                             .backward_passes = GetParam().passes});
  const Problem p{.heads = 2, .head_dim = 128, .dtype = DType::bf16, .seed = 78};
  const Backward problem(p, 300, 300);
  problem.attend(tiled, {.q_order = order, .kv_order = order});
  DeviceBackward device(problem, *plan, GetParam().deterministic);
  cudaStream_t stream{};
  cudaGraph_t graph{};
  cudaGraphExec_t executable{};
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  device.args.stream = stream;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  plan->backward(device.args);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  for (int repeat = 0; repeat < 3; ++repeat) {
    ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
  }
  device.fetch(problem);
  std::vector<std::int32_t> place(300);
  for (std::int32_t i = 0; i < 300; ++i) place[static_cast<std::size_t>(order[i])] = i;
  compare_gradients(problem, [&](auto, auto, std::int32_t i, std::int32_t j) {
    return mask(place[static_cast<std::size_t>(i)], place[static_cast<std::size_t>(j)]);
  });
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

/// [batch, rows, heads, head_dim] in memory, as models keep it, for all tensors.
TEST_P(HopperBackward, HeadsInsideRows) {
  const BlockMask tiled = block_mask(200, 240, 8).tiled();
  const Problem p{.batch = 2, .heads = 4, .kv_heads = 2, .head_dim = 64, .dtype = DType::bf16};
  const Backward dense(p, 200, 240);
  dense.attend(tiled);
  run(dense, tiled, {});
  const auto turned = [](const Tensor& from) {
    const auto [batch, a, b, width] = from.view().shape;
    Tensor to({batch, b, a, width}, from.view().dtype);
    for (std::int64_t n = 0; n < from.view().elements(); ++n) {
      const std::int64_t d = n % width, y = n / width % b, x = n / width / b % a;
      to.set(to.offset(n / width / a / b, y, x, d), from.get(n));
    }
    return to;
  };
  const auto seen = [](TensorView view) {
    std::swap(view.shape[1], view.shape[2]);
    std::swap(view.strides[1], view.strides[2]);
    return view;
  };
  const Backward poisoned(p, 200, 240);
  const auto plan =
      hopper().prepare(tiled, {.backward = true, .backward_passes = GetParam().passes});
  DeviceBackward device(dense, *plan, GetParam().deterministic);
  const std::array inputs{OnDevice(turned(dense.in.q)), OnDevice(turned(dense.in.k)),
                          OnDevice(turned(dense.in.v)), OnDevice(turned(dense.in.o)),
                          OnDevice(turned(dense.d_o))};
  const std::array outputs{OnDevice(turned(poisoned.dq)), OnDevice(turned(poisoned.dk)),
                           OnDevice(turned(poisoned.dv))};
  BackwardArgs args = device.args;
  args.q = seen(inputs[0].view());
  args.k = seen(inputs[1].view());
  args.v = seen(inputs[2].view());
  args.o = seen(inputs[3].view());
  args.d_o = seen(inputs[4].view());
  args.dq = seen(outputs[0].view());
  args.dk = seen(outputs[1].view());
  args.dv = seen(outputs[2].view());
  plan->backward(args);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (const auto& [which, want] :
       {std::pair<std::size_t, const Tensor*>{0, &dense.dq}, {1, &dense.dk}, {2, &dense.dv}}) {
    const Tensor got = turned(*want);
    outputs[which].fetch(got);
    const Tensor plain = turned(got);
    for (std::int64_t n = 0; n < plain.view().elements(); ++n) {
      ASSERT_NEAR(plain.get(n), want->get(n), 1e-2) << "output " << which << "[" << n << "]";
    }
  }
}

TEST(HopperBackwardArguments, SayWhatCannotRun) {
  const BoolMask mask(64, 64, [](auto, auto) { return true; });
  const Backward odd({.head_dim = 72, .dtype = DType::bf16}, 64, 64);
  EXPECT_NE(hopper().supports(odd.args(), mask.tiled())->find("head_dim 72"), std::string::npos);
  const Backward good({.head_dim = 64, .dtype = DType::bf16}, 64, 64);
  EXPECT_NE(hopper().supports(good.args(), mask.tiled({32, 64}))->find("32x64"), std::string::npos);
  EXPECT_FALSE(hopper().supports(good.args(), mask.tiled()));
  expect_error(ErrorCode::invalid_argument, "not in 3", [&] {
    (void)hopper().prepare(mask.tiled(), {.backward = true, .backward_passes = 3});
  });
}

}  // namespace
}  // namespace attn::test

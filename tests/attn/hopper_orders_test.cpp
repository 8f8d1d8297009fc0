// SPDX-License-Identifier: Apache-2.0
//
// Orders in a call: the kernel gathers rows while it computes, so what is tested beside the results
// is calls that meet: heads without end, two streams, graphs, memory used before.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "attn/hopper_masks.hpp"
#include "attn/on_device.hpp"

namespace attn::test {
namespace {

std::vector<std::int32_t> shuffled(std::int32_t n, std::uint64_t seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  for (std::int32_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

std::vector<std::int32_t> places(const std::vector<std::int32_t>& order) {
  std::vector<std::int32_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
  }
  return place;
}

/// A mask in an order of its own, a plan for it, and tensors in the caller's order.
struct Case {
  BoolMask mask;
  std::vector<std::int32_t> q_order, kv_order;
  Inputs in;
  DeviceInputs device;
  std::unique_ptr<Plan> plan;
  ForwardArgs args;
  Buffer workspace;

  Case(const Problem& problem, const BoolMask& ordered)
      : mask(ordered),
        q_order(shuffled(mask.n_q, problem.seed)),
        kv_order(shuffled(mask.n_k, problem.seed + 1)),
        in(problem, mask.n_q, mask.n_k),
        device(in),
        plan(hopper().prepare(mask.tiled(), {.q_order = q_order, .kv_order = kv_order})),
        args(device.args()),
        workspace(give_workspace(*plan, args)) {}

  void compare_all() {
    device.fetch(in);
    const auto q_place = places(q_order);
    const auto kv_place = places(kv_order);
    compare(in, [&](auto, auto, std::int32_t i, std::int32_t j) {
      return mask(q_place[static_cast<std::size_t>(i)], kv_place[static_cast<std::size_t>(j)]);
    });
  }
};

/// More heads than are gathered before the first of them is needed.
class ManyHeads : public testing::TestWithParam<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(HopperOrders, ManyHeads, testing::Values(64, 128));

TEST_P(ManyHeads, SharingKeysOrNot) {
  for (const std::int64_t kv_heads : {64, 4}) {
    SCOPED_TRACE(kv_heads);
    Case orders({.batch = 2,
                 .heads = 64,
                 .kv_heads = kv_heads,
                 .head_dim = GetParam(),
                 .dtype = DType::bf16,
                 .seed = 500},
                block_mask(200, 70, 83));
    for (int call = 0; call < 3; ++call) orders.plan->forward(orders.args);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    orders.compare_all();
  }
}

TEST(HopperOrders, MaskPerHead) {
  const std::int32_t n = 260;
  const std::int64_t heads = 6;
  std::vector<BoolMask> bools;
  std::vector<BlockMask> masks;
  for (int m = 0; m < heads; ++m) {
    bools.push_back(block_mask(n, n, static_cast<std::uint64_t>(920 + m)));
    masks.push_back(bools.back().tiled());
  }
  const auto order = shuffled(n, 17);
  const auto place = places(order);
  for (const std::int64_t head_dim : {64, 128}) {
    const Inputs in({.batch = 2,
                     .heads = heads,
                     .kv_heads = 2,
                     .head_dim = head_dim,
                     .dtype = DType::f16,
                     .seed = 9},
                    n, n);
    const DeviceInputs device(in);
    const auto plan = hopper().prepare(BlockMask::stack(masks, 1, static_cast<int>(heads)),
                                       {.q_order = order, .kv_order = order});
    ForwardArgs args = device.args();
    const Buffer workspace = give_workspace(*plan, args);
    plan->forward(args);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    device.fetch(in);
    compare(in, [&](auto, std::int64_t h, std::int32_t i, std::int32_t j) {
      return bools[static_cast<std::size_t>(h)](place[static_cast<std::size_t>(i)],
                                                place[static_cast<std::size_t>(j)]);
    });
  }
}

TEST(HopperOrders, SameBitsTwice) {
  const Problem problem{
      .batch = 2, .heads = 40, .kv_heads = 8, .head_dim = 128, .dtype = DType::bf16, .seed = 501};
  std::array<std::vector<std::uint16_t>, 2> bits;
  for (auto& copy : bits) {
    Case orders(problem, block_mask(400, 400, 84));
    orders.plan->forward(orders.args);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    orders.device.fetch(orders.in);
    copy.resize(static_cast<std::size_t>(orders.in.o.view().elements()));
    std::memcpy(copy.data(), orders.in.o.view().data, copy.size() * 2);
  }
  EXPECT_EQ(bits[0], bits[1]);
}

/// Four streams, so that no kernel has the card to itself; each call is captured once and replayed.
TEST(HopperOrders, GraphsOnStreamsAtOnce) {
  std::vector<std::unique_ptr<Case>> cases;
  std::vector<cudaStream_t> streams;
  std::vector<cudaGraphExec_t> graphs;
  for (std::uint64_t s = 0; s < 4; ++s) {
    cases.push_back(std::make_unique<Case>(Problem{.batch = 1,
                                                   .heads = 24,
                                                   .kv_heads = 24,
                                                   .head_dim = s % 2 == 0 ? 64 : 128,
                                                   .dtype = DType::bf16,
                                                   .seed = 510 + s},
                                           block_mask(200, 150, 85 + s)));
    cudaStream_t stream{};
    cudaGraph_t graph{};
    cudaGraphExec_t replay{};
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    cases.back()->args.stream = stream;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    cases.back()->plan->forward(cases.back()->args);
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&replay, graph, 0), cudaSuccess);
    ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    streams.push_back(stream);
    graphs.push_back(replay);
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (int replay = 0; replay < 50; ++replay) {
    for (std::size_t s = 0; s < streams.size(); ++s) {
      ASSERT_EQ(cudaGraphLaunch(graphs[s], streams[s]), cudaSuccess);
    }
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (std::size_t s = 0; s < streams.size(); ++s) {
    SCOPED_TRACE(s);
    cases[s]->compare_all();
    ASSERT_EQ(cudaGraphExecDestroy(graphs[s]), cudaSuccess);
    ASSERT_EQ(cudaStreamDestroy(streams[s]), cudaSuccess);
  }
}

}  // namespace
}  // namespace attn::test

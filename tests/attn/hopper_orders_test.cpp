// SPDX-License-Identifier: Apache-2.0
//
// Orders in a call: rows are loaded where they lie, or the kernel gathers them while it computes.
// So what is tested beside the results is calls that meet: heads without end, two streams, graphs,
// memory used before.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "attn/hopper_masks.hpp"
#include "attn/on_device.hpp"
#include "attn/orders.hpp"

namespace attn::test {
namespace {

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
      : Case(problem, ordered, shuffled(ordered.n_q, problem.seed),
             shuffled(ordered.n_k, problem.seed + 1)) {}

  /// An empty order is none.
  Case(const Problem& problem, const BoolMask& ordered, std::vector<std::int32_t> of_queries,
       std::vector<std::int32_t> of_keys)
      : mask(ordered),
        q_order(std::move(of_queries)),
        kv_order(std::move(of_keys)),
        in(problem, mask.n_q, mask.n_k),
        device(in),
        plan(hopper().prepare(mask.tiled(), {.q_order = q_order, .kv_order = kv_order})),
        args(device.args()),
        workspace(give_workspace(*plan, args)) {}

  void run() {
    plan->forward(args);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    device.fetch(in);
  }

  /// By rows and keys of the tensors.
  [[nodiscard]] MaskOf rule() const {
    return [this, q_place = places(q_order), kv_place = places(kv_order)](
               auto, auto, std::int32_t i, std::int32_t j) {
      return mask(q_place.empty() ? i : q_place[static_cast<std::size_t>(i)],
                  kv_place.empty() ? j : kv_place[static_cast<std::size_t>(j)]);
    };
  }

  void compare_all() {
    device.fetch(in);
    compare(in, rule());
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

/// Orders that are loaded where rows lie, each with one that is not the same on the other side.
TEST(HopperOrders, InBoxes) {
  const std::int32_t n_q = 611;
  const std::int32_t n_k = 450;
  const BoolMask mask = block_mask(n_q, n_k, 90);
  const std::vector<std::int32_t> none;
  auto half_shuffled = residue_classes(n_k, 4);
  std::shuffle(half_shuffled.begin() + 290, half_shuffled.end(), std::mt19937_64(4));
  const std::pair<std::vector<std::int32_t>, std::vector<std::int32_t>> orders[] = {
      {residue_classes(n_q, 8, 16), residue_classes(n_k, 8, 16)},
      {residue_classes(n_q, 3), half_shuffled},
      {none, residue_classes(n_k, 8)},
      {residue_classes(n_q, 2, 5), none},
      {natural(n_q), residue_classes(n_k, 64)},
      {residue_classes(n_q, 8), shuffled(n_k, 6)},
      {shuffled(n_q, 7), residue_classes(n_k, 5, 3)},
      {residue_classes(n_q, 8, 200), residue_classes(n_k, 8, 150)}};
  std::uint64_t seed = 600;
  for (const auto& [q_order, kv_order] : orders) {
    for (const std::int64_t head_dim : {64, 128}) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", head_dim " + std::to_string(head_dim));
      Case in_boxes({.heads = 2,
                     .kv_heads = 1,
                     .head_dim = head_dim,
                     .dtype = seed % 2 == 0 ? DType::bf16 : DType::f16,
                     .seed = seed},
                    mask, q_order, kv_order);
      ++seed;
      in_boxes.run();
      in_boxes.compare_all();
    }
  }
}

/// A mask of full tiles goes to the kernel of two warpgroups.
TEST(HopperOrders, InBoxesOfADenseMask) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    Case dense({.heads = 2, .kv_heads = 1, .head_dim = 128, .dtype = dtype, .seed = 620},
               BoolMask(400, 300, [](auto, auto) { return true; }), residue_classes(400, 8),
               residue_classes(300, 8, 16));
    dense.run();
    dense.compare_all();
  }
}

/// Nothing is copied of an order that consists of whole progressions.
TEST(HopperOrders, NoWorkspaceWhereBoxesHoldAll) {
  const auto order = residue_classes(1024, 8);
  const auto plan =
      hopper().prepare(block_mask(1024, 1024, 91).tiled(), {.q_order = order, .kv_order = order});
  const Inputs in({.head_dim = 64, .dtype = DType::bf16}, 1024, 1024);
  EXPECT_EQ(plan->forward_workspace(in.args()), 0U);
}

/// Each row of the tensors as models keep it, all heads of a token side by side.
TEST(HopperOrders, InBoxesOfHeadsInsideRows) {
  for (const std::int64_t head_dim : {64, 128}) {
    Case rows({.batch = 1, .heads = 1, .head_dim = head_dim, .dtype = DType::bf16, .seed = 630},
              block_mask(300, 300, 92), residue_classes(300, 8, 16), residue_classes(300, 8, 16));
    // Rows four times as far apart: those of a head in four.
    const auto spread = [&](const Tensor& from) {
      Tensor to({1, 1, from.view().shape[2] * 4, head_dim}, DType::bf16);
      to.randomize(5);
      for (std::int64_t n = 0; n < from.view().elements(); ++n) {
        to.set(to.offset(0, 0, n / head_dim * 4, n % head_dim), from.get(n));
      }
      return OnDevice(to);
    };
    const auto seen = [&](const OnDevice& memory, TensorView like) {
      like.data = memory.view().data;
      like.strides[2] *= 4;
      return like;
    };
    const OnDevice q = spread(rows.in.q), k = spread(rows.in.k), v = spread(rows.in.v);
    rows.args.q = seen(q, rows.args.q);
    rows.args.k = seen(k, rows.args.k);
    rows.args.v = seen(v, rows.args.v);
    rows.run();
    rows.compare_all();
  }
}

/// Keys that only some rows allow hold NaN, among them the globals and the last of a class.
TEST(HopperOrders, NonFiniteStaysAtItsKeyInBoxes) {
  const std::int32_t n = 411;
  const auto order = residue_classes(n, 8, 16);
  const BoolMask mask(n, n, [](auto i, auto j) { return j % 3 != 0 || i % 2 != 0; });
  for (const std::int64_t head_dim : {64, 128}) {
    Case poisoned({.head_dim = head_dim, .dtype = DType::bf16, .seed = 640}, mask, order, order);
    for (std::int32_t place = 0; place < n; place += 3) {
      const std::int32_t key = order[static_cast<std::size_t>(place)];
      for (std::int64_t d = 0; d < head_dim; ++d) {
        poisoned.in.v.set(poisoned.in.v.offset(0, 0, key, d), NAN);
      }
    }
    const OnDevice v(poisoned.in.v);
    poisoned.args.v = v.view();
    poisoned.run();
    const auto oracle = attention<double>(poisoned.in, poisoned.rule());
    for (std::int32_t place = 0; place < n; ++place) {
      const std::int32_t i = order[static_cast<std::size_t>(place)];
      for (std::int64_t d = 0; d < head_dim; ++d) {
        const std::int64_t at = poisoned.in.o.offset(0, 0, i, d);
        const float value = poisoned.in.o.get(at);
        if (place % 2 == 0) {
          ASSERT_NEAR(value, oracle.o[static_cast<std::size_t>(at)], 2e-2) << "row " << i;
        } else {
          ASSERT_FALSE(std::isfinite(value)) << "row " << i << " allows a non-finite key";
        }
      }
    }
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

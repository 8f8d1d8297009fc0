// SPDX-License-Identifier: Apache-2.0
//
// Rows of tiles so long that the forward pass cuts them along their keys. Needs an H100 or H200.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "attn/on_device.hpp"

namespace attn::test {
namespace {

/// A band with whole rows of keys in the first row of tiles, and one in the last where `last` says
/// so. Beside those of the first stand an empty row, one with keys in the first part alone, and a
/// block of 64 without any.
BoolMask globals(std::int32_t n_q, std::int32_t n_k, bool last = true) {
  return {n_q, n_k, [=](std::int32_t i, std::int32_t j) {
            if (i == 0) return true;
            if (i == 1 || (last && i == n_q - 1)) return (i + j) % 3 != 0 || j / 300 % 2 == 0;
            if (i == 2 || i / 64 == 1) return false;
            if (i == 3) return j < 900;
            return std::abs(i - j) <= 100;
          }};
}

std::vector<std::int32_t> shuffled(std::int32_t n, std::uint64_t seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

/// Residue classes, one after the other.
std::vector<std::int32_t> classes(std::int32_t n, std::int32_t count) {
  std::vector<std::int32_t> order;
  for (std::int32_t c = 0; c < count; ++c) {
    for (std::int32_t i = c; i < n; i += count) order.push_back(i);
  }
  return order;
}

std::vector<std::int32_t> places(const std::vector<std::int32_t>& order) {
  std::vector<std::int32_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
  }
  return place;
}

/// A plan, its tensors on the device, and a workspace. Only cut rows and orders need one.
struct Call {
  DeviceInputs device;
  std::unique_ptr<Plan> plan;
  ForwardArgs args;
  Buffer workspace;

  Call(const Inputs& in, const BlockMask& mask, const PrepareOptions& options = {})
      : device(in),
        plan(hopper().prepare(mask, options)),
        args(device.args()),
        workspace(give_workspace(*plan, args)) {
    if (options.q_order.empty() && options.kv_order.empty()) {
      EXPECT_GT(args.workspace_bytes, 0U) << "no row was cut";
    }
  }

  void run(const Inputs& in) {
    plan->forward(args);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    device.fetch(in);
  }
};

class CutRows : public testing::TestWithParam<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(Hopper, CutRows, testing::Values(64, 128));

TEST_P(CutRows, MatchTheOracle) {
  const BoolMask mask = globals(2103, 20011);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const Inputs in(
        {.heads = 2, .kv_heads = 1, .head_dim = GetParam(), .dtype = dtype, .seed = 600}, mask.n_q,
        mask.n_k);
    Call(in, mask.tiled()).run(in);
    compare(in, rule_of(mask));
  }
}

TEST_P(CutRows, InManyParts) {
  const BoolMask mask = globals(2103, 66000, false);
  const Inputs in({.head_dim = GetParam(), .dtype = DType::bf16, .seed = 601}, mask.n_q, mask.n_k);
  Call(in, mask.tiled()).run(in);
  compare(in, rule_of(mask));
}

TEST_P(CutRows, MaskPerHead) {
  // The second mask has no long row, and the third is empty but for one.
  const std::int32_t n_q = 2100, n_k = 20000;
  const std::vector<BoolMask> bools{
      globals(n_q, n_k),
      {n_q, n_k, [](auto i, auto j) { return std::abs(i * 2 - j) <= 90; }},
      {n_q, n_k, [](auto i, auto) { return i == 300; }}};
  std::vector<BlockMask> masks;
  for (const BoolMask& mask : bools) masks.push_back(mask.tiled());
  const Inputs in(
      {.heads = 3, .kv_heads = 3, .head_dim = GetParam(), .dtype = DType::bf16, .seed = 602}, n_q,
      n_k);
  Call(in, BlockMask::stack(masks, 1, 3)).run(in);
  compare(in, [&](auto, std::int64_t h, std::int32_t i, std::int32_t j) {
    return bools[static_cast<std::size_t>(h)](i, j);
  });
}

/// The same bits twice, and beside other heads.
TEST_P(CutRows, SameBitsAlways) {
  const BoolMask mask = globals(2103, 20011);
  const BlockMask tiled = mask.tiled();
  std::array<std::vector<std::uint8_t>, 3> bits;
  for (std::size_t run = 0; run < bits.size(); ++run) {
    const std::int64_t heads = run == 2 ? 7 : 1;
    const Inputs in(
        {.heads = heads, .kv_heads = 1, .head_dim = GetParam(), .dtype = DType::bf16, .seed = 603},
        mask.n_q, mask.n_k);
    Call(in, tiled).run(in);
    const std::size_t o_bytes = static_cast<std::size_t>(mask.n_q * GetParam()) * 2;
    const std::size_t lse_bytes = static_cast<std::size_t>(mask.n_q) * 4;
    bits[run].resize(o_bytes + lse_bytes);  // of the first head
    std::memcpy(bits[run].data(), in.o.view().data, o_bytes);
    std::memcpy(bits[run].data() + o_bytes, in.lse.view().data, lse_bytes);
  }
  EXPECT_EQ(bits[0], bits[1]);
  EXPECT_EQ(bits[0], bits[2]);
}

/// Keys that are not finite are masked for the even queries only, of those with whole rows too.
TEST_P(CutRows, NonFiniteStaysAtItsKey) {
  const std::int32_t n_q = 2100, n_k = 20000, step = 4999;
  const BoolMask plain = globals(n_q, n_k);
  const BoolMask mask(n_q, n_k,
                      [&](auto i, auto j) { return plain(i, j) && (j % step != 0 || i % 2 != 0); });
  for (const float poison : {NAN, INFINITY, -INFINITY}) {
    SCOPED_TRACE(poison);
    Inputs in({.head_dim = GetParam(), .dtype = DType::bf16, .seed = 604}, n_q, n_k);
    for (std::int32_t j = 0; j < n_k; j += step) {
      for (std::int64_t d = 0; d < GetParam(); ++d) {
        if (d % 2 == 0) in.k.set(in.k.offset(0, 0, j, d), poison);
        in.v.set(in.v.offset(0, 0, j, d), poison);
      }
    }
    Call(in, mask.tiled()).run(in);
    const auto oracle = attention<double>(in, rule_of(mask));
    for (std::int32_t i = 0; i < n_q; ++i) {
      bool poisoned = false;
      for (std::int32_t j = 0; j < n_k; j += step) poisoned |= mask(i, j);
      for (std::int64_t d = 0; d < GetParam(); ++d) {
        const std::int64_t at = in.o.offset(0, 0, i, d);
        if (poisoned) {
          ASSERT_FALSE(std::isfinite(in.o.get(at))) << "row " << i << " allows a non-finite key";
        } else {
          ASSERT_NEAR(in.o.get(at), oracle.o[static_cast<std::size_t>(at)], 2e-2) << "row " << i;
        }
      }
    }
  }
}

void check_orders(std::int64_t head_dim, const std::vector<std::int32_t>& q_order,
                  const std::vector<std::int32_t>& kv_order) {
  const BoolMask mask = globals(static_cast<std::int32_t>(q_order.size()),
                                static_cast<std::int32_t>(kv_order.size()));
  const auto q_place = places(q_order);
  const auto kv_place = places(kv_order);
  const Inputs in(
      {.heads = 4, .kv_heads = 2, .head_dim = head_dim, .dtype = DType::bf16, .seed = 605},
      mask.n_q, mask.n_k);
  Call call(in, mask.tiled(), {.q_order = q_order, .kv_order = kv_order});
  for (int i = 0; i < 3; ++i) call.run(in);
  compare(in, [&](auto, auto, std::int32_t i, std::int32_t j) {
    return mask(q_place[static_cast<std::size_t>(i)], kv_place[static_cast<std::size_t>(j)]);
  });
}

/// Rows that the kernel gathers head by head, with parts of every head among its items.
TEST_P(CutRows, WithOrders) {
  check_orders(GetParam(), shuffled(2100, 1), shuffled(20000, 2));
}

/// Rows that are loaded where they lie are not cut.
TEST_P(CutRows, WithOrdersInBoxes) {
  check_orders(GetParam(), classes(2100, 4), classes(20000, 8));
}

/// In a graph with a workspace, in one whose plan has memory of its own from a call before, and in
/// one where it has none and cannot allocate: then no row is cut.
TEST_P(CutRows, InsideAGraph) {
  const BoolMask mask = globals(2100, 20000);
  enum class Memory { given, own, none };
  for (const Memory memory : {Memory::given, Memory::own, Memory::none}) {
    const Inputs in({.head_dim = GetParam(), .dtype = DType::bf16, .seed = 606}, mask.n_q,
                    mask.n_k);
    Call call(in, mask.tiled());
    cudaStream_t stream{};
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    call.args.stream = stream;
    if (memory != Memory::given) call.args.workspace = nullptr;
    if (memory == Memory::own) call.plan->forward(call.args);
    cudaGraph_t graph{};
    cudaGraphExec_t replay{};
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    call.plan->forward(call.args);
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&replay, graph, 0), cudaSuccess);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(replay, stream), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    call.device.fetch(in);
    compare(in, rule_of(mask));
    ASSERT_EQ(cudaGraphExecDestroy(replay), cudaSuccess);
    ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  }
}

/// One plan, calls without a workspace of the caller.
TEST_P(CutRows, OnTwoStreams) {
  const BoolMask mask = globals(2100, 20000);
  const auto plan = hopper().prepare(mask.tiled());
  std::array<cudaStream_t, 2> streams{};
  std::vector<Inputs> inputs;
  std::vector<std::unique_ptr<DeviceInputs>> device;
  inputs.reserve(streams.size());
  for (std::size_t s = 0; s < streams.size(); ++s) {
    ASSERT_EQ(cudaStreamCreateWithFlags(&streams[s], cudaStreamNonBlocking), cudaSuccess);
    inputs.push_back(
        Inputs({.head_dim = GetParam(), .dtype = DType::f16, .seed = 607 + s}, mask.n_q, mask.n_k));
    device.push_back(std::make_unique<DeviceInputs>(inputs.back()));
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (int repeat = 0; repeat < 20; ++repeat) {
    for (std::size_t s = 0; s < streams.size(); ++s) {
      ForwardArgs args = device[s]->args();
      args.stream = streams[s];
      plan->forward(args);
    }
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (std::size_t s = 0; s < streams.size(); ++s) {
    device[s]->fetch(inputs[s]);
    compare(inputs[s], rule_of(mask));
    ASSERT_EQ(cudaStreamDestroy(streams[s]), cudaSuccess);
  }
}

}  // namespace
}  // namespace attn::test

// SPDX-License-Identifier: Apache-2.0
//
// The Hopper backend against attention written out in fp64. Needs an H100 or H200.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "attn/errors.hpp"
#include "attn/hopper_masks.hpp"
#include "attn/on_device.hpp"

namespace attn::test {
namespace {

void run(const Inputs& in, const BlockMask& mask, const PrepareOptions& options = {}) {
  const DeviceInputs device(in);
  const auto plan = hopper().prepare(mask, options);
  ForwardArgs args = device.args();
  const Buffer workspace = give_workspace(*plan, args);
  plan->forward(args);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  device.fetch(in);
}

std::string text(const Problem& p, const BoolMask& mask, TileShape tile) {
  return std::string(to_string(p.dtype)) + ", head_dim " + std::to_string(p.head_dim) + ", " +
         std::to_string(mask.n_q) + "x" + std::to_string(mask.n_k) + ", tile " + to_string(tile) +
         ", batch " + std::to_string(p.batch) + ", heads " + std::to_string(p.heads) + "/" +
         std::to_string(p.kv_heads) + ", seed " + std::to_string(p.seed);
}

void check(const Problem& problem, const BoolMask& mask, TileShape tile = {}) {
  SCOPED_TRACE(text(problem, mask, tile));
  const Inputs in(problem, mask.n_q, mask.n_k);
  run(in, mask.tiled(tile));
  compare(in, rule_of(mask));
}

TEST(HopperForward, DenseAndCausal) {
  std::uint64_t seed = 1;
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const std::int64_t head_dim : {64, 128}) {
      const Problem problem{.head_dim = head_dim, .dtype = dtype, .seed = seed++};
      check(problem, BoolMask(256, 384, [](auto, auto) { return true; }));
      check(problem, BoolMask(384, 384, [](auto i, auto j) { return j <= i; }));
    }
  }
}

TEST(HopperForward, Families) {
  const std::int32_t n = 700;
  const std::vector<std::pair<const char*, BoolMask>> masks{
      {"window", {n, n, [](auto i, auto j) { return std::abs(i - j) <= 128; }}},
      {"causal window", {n, n, [](auto i, auto j) { return j <= i && i - j <= 200; }}},
      {"longformer",
       {n, n, [](auto i, auto j) { return std::abs(i - j) <= 64 || i < 8 || j < 8; }}},
      {"dilated", {n, n, [](auto i, auto j) { return (i - j) % 8 == 0 && std::abs(i - j) < 300; }}},
      {"documents", {n, n, [](auto i, auto j) { return j <= i && i / 150 == j / 150; }}},
      {"one pair", {n, n, [](auto i, auto j) { return i == 413 && j == 699; }}},
      {"nothing", {n, n, [](auto, auto) { return false; }}},
      {"wide", {130, 1500, [](auto i, auto j) { return (i * 7 + j) % 3 != 0; }}},
      {"tall", {1100, 70, [](auto i, auto j) { return (i + j) % 5 != 0; }}},
  };
  std::uint64_t seed = 50;
  for (const auto& [name, mask] : masks) {
    SCOPED_TRACE(name);
    for (const std::int64_t head_dim : {64, 128}) {
      check({.heads = 2, .kv_heads = 1, .head_dim = head_dim, .dtype = DType::bf16, .seed = seed++},
            mask);
    }
  }
}

/// 200 shapes, in eight parts that can run side by side.
class RandomShapes : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Hopper, RandomShapes, testing::Range<std::uint64_t>(0, 8));

TEST_P(RandomShapes, MatchTheOracle) {
  std::mt19937_64 random(11 + GetParam());
  const std::uint64_t first = 100 + 25 * GetParam();
  for (std::uint64_t seed = first; seed < first + 25; ++seed) {
    const auto [problem, mask, tile] = random_case(random, seed, 500, 600);
    check(problem, mask, tile);
    if (HasFailure()) return;
  }
}

/// Many more rows of tiles than multiprocessors: each computes a stream of items, some of which
/// one of its warpgroups skips.
class LongStreams : public testing::TestWithParam<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(Hopper, LongStreams, testing::Values(64, 128));

TEST_P(LongStreams, OfItems) {
  std::uint64_t seed = 400;
  for (const std::int32_t n : {130, 330}) {
    const Problem problem{.batch = 2,
                          .heads = 64,
                          .kv_heads = 8,
                          .head_dim = GetParam(),
                          .dtype = DType::bf16,
                          .seed = seed};
    check(problem, block_mask(n, 140, seed++));
    check(problem, BoolMask(n, 65, [](auto i, auto j) { return i / 64 == j / 64; }));
  }
}

/// One block of 64 rows in each row of tiles computes; the others join in now and then, after more
/// items than the kernel keeps slots for.
TEST_P(LongStreams, WhereMostBlocksRest) {
  const int blocks = GetParam() == 64 ? 3 : 2;  // in a row of tiles
  const BoolMask mask(64 * 36, 8, [blocks](auto i, auto) {
    const int block = i / 64;
    return block % blocks == 0 || block % 18 < blocks;
  });
  check({.batch = 2,
         .heads = 40,
         .kv_heads = 8,
         .head_dim = GetParam(),
         .dtype = DType::bf16,
         .seed = 410},
        mask);
}

/// Scores far from 0 and growing along the keys, so that neither the first maxima nor small sums
/// serve as a base for long.
TEST(HopperForward, LargeAndGrowingScores) {
  const std::int32_t n = 512;
  const BoolMask mask(n, n, [](auto i, auto j) { return (i * 5 + j) % 7 != 0; });
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const std::int64_t head_dim : {64, 128}) {
      for (const float growth : {0.01F, 0.1F, 0.3F}) {
        SCOPED_TRACE(growth);
        Problem problem{.head_dim = head_dim, .dtype = dtype, .seed = 420};
        problem.scale = 1.0F;
        Inputs in(problem, n, n);
        for (std::int32_t j = 0; j < n; ++j) {
          for (std::int64_t d = 0; d < head_dim; ++d) {
            in.k.set(in.k.offset(0, 0, j, d),
                     d == 0 ? growth * static_cast<float>(j - 100) : 0.02F);
          }
        }
        for (std::int32_t i = 0; i < n; ++i) in.q.set(in.q.offset(0, 0, i, 0), 1.0F);
        run(in, mask.tiled());
        compare(in, rule_of(mask));
      }
    }
  }
}

TEST(HopperForward, MaskPerBatchAndHead) {
  const std::int32_t n = 300;
  for (const auto& [batch, heads] : {std::pair{2, 3}, std::pair{2, 1}, std::pair{1, 3}}) {
    std::vector<BoolMask> bools;
    std::vector<BlockMask> masks;
    for (int m = 0; m < batch * heads; ++m) {
      bools.push_back(block_mask(n, n, static_cast<std::uint64_t>(900 + m)));
      masks.push_back(bools.back().tiled());
    }
    const Inputs in(
        {.batch = 2, .heads = 3, .kv_heads = 3, .head_dim = 128, .dtype = DType::bf16, .seed = 7},
        n, n);
    run(in, BlockMask::stack(masks, batch, heads));
    compare(in, [&](std::int64_t b, std::int64_t h, std::int32_t i, std::int32_t j) {
      return bools[static_cast<std::size_t>((batch == 1 ? 0 : b) * heads + (heads == 1 ? 0 : h))](
          i, j);
    });
  }
}

/// Every third key holds NaN or infinities and is masked for the even queries only.
TEST(HopperForward, NonFiniteStaysAtItsKey) {
  const std::int32_t n = 300;
  const BoolMask mask(n, n, [](auto i, auto j) { return j % 3 != 0 || i % 2 != 0; });
  for (const std::int64_t head_dim : {64, 128}) {
    for (const float poison : {NAN, INFINITY, -INFINITY}) {
      Inputs in({.head_dim = head_dim, .dtype = DType::bf16, .seed = 5}, n, n);
      for (std::int32_t j = 0; j < n; j += 3) {
        for (std::int64_t d = 0; d < head_dim; ++d) {
          if (d % 2 == 0) in.k.set(in.k.offset(0, 0, j, d), poison);
          in.v.set(in.v.offset(0, 0, j, d), poison);
        }
      }
      run(in, mask.tiled());
      const auto oracle = attention<double>(in, rule_of(mask));
      const auto plain = attention<float>(in, rule_of(mask), DType::bf16);
      for (std::int32_t i = 0; i < n; ++i) {
        for (std::int64_t d = 0; d < head_dim; ++d) {
          const std::int64_t at = in.o.offset(0, 0, i, d);
          const float value = in.o.get(at);
          if (i % 2 == 0) {
            ASSERT_NEAR(value, oracle.o[static_cast<std::size_t>(at)], 2e-2) << "row " << i;
          } else {
            ASSERT_FALSE(std::isfinite(value)) << "row " << i << " allows a non-finite key";
          }
        }
      }
    }
  }
}

TEST(HopperForward, ScalesOfEverySign) {
  const BoolMask mask = block_mask(200, 260, 3);
  for (const float scale : {0.5F, 0.0F, -0.25F, 2.0F}) {
    SCOPED_TRACE(scale);
    Problem problem{.head_dim = 64, .dtype = DType::f16, .seed = 21};
    problem.scale = scale;
    check(problem, mask);
  }
}

/// The caller's tensors are in one order, the mask in another.
TEST(HopperForward, OrdersInsideTheCall) {
  const std::int32_t n_q = 333;
  const std::int32_t n_k = 450;
  const BoolMask mask = block_mask(n_q, n_k, 77);
  std::mt19937_64 random(5);
  std::vector<std::int32_t> q_order(n_q), kv_order(n_k);
  std::iota(q_order.begin(), q_order.end(), 0);
  std::iota(kv_order.begin(), kv_order.end(), 0);
  std::shuffle(q_order.begin(), q_order.end(), random);
  std::shuffle(kv_order.begin(), kv_order.end(), random);
  std::vector<std::int32_t> q_place(n_q), kv_place(n_k);
  for (std::int32_t i = 0; i < n_q; ++i) q_place[static_cast<std::size_t>(q_order[i])] = i;
  for (std::int32_t j = 0; j < n_k; ++j) kv_place[static_cast<std::size_t>(kv_order[j])] = j;
  for (const auto& [rows, cols] : {std::pair{true, false}, {false, true}, {true, true}}) {
    for (const std::int64_t head_dim : {64, 128}) {
      const Inputs in({.batch = 2,
                       .heads = 2,
                       .kv_heads = 1,
                       .head_dim = head_dim,
                       .dtype = DType::bf16,
                       .seed = 31},
                      n_q, n_k);
      PrepareOptions options;
      if (rows) options.q_order = q_order;
      if (cols) options.kv_order = kv_order;
      run(in, mask.tiled(), options);
      compare(in, [&, r = rows, c = cols](auto, auto, std::int32_t i, std::int32_t j) {
        return mask(r ? q_place[static_cast<std::size_t>(i)] : i,
                    c ? kv_place[static_cast<std::size_t>(j)] : j);
      });
    }
  }
}

/// In a graph with a workspace, in one whose plan has memory of its own from a call before, and in
/// one where it has none and cannot allocate.
TEST(HopperForward, OrdersInsideAGraph) {
  const std::int32_t n = 300;
  const BoolMask mask = block_mask(n, n, 78);
  std::vector<std::int32_t> order(n);
  for (std::int32_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i * 7 % n;
  std::vector<std::int32_t> place(n);
  for (std::int32_t i = 0; i < n; ++i) place[static_cast<std::size_t>(order[i])] = i;
  enum class Memory { given, own, none };
  for (const Memory memory : {Memory::given, Memory::own, Memory::none}) {
    const Inputs in({.heads = 2, .kv_heads = 2, .head_dim = 128, .dtype = DType::bf16}, n, n);
    const DeviceInputs device(in);
    const auto plan = hopper().prepare(mask.tiled(), {.q_order = order, .kv_order = order});
    cudaStream_t stream{};
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    ForwardArgs args = device.args();
    args.stream = stream;
    Buffer workspace;
    if (memory == Memory::given) workspace = give_workspace(*plan, args);
    if (memory == Memory::own) plan->forward(args);
    cudaGraph_t graph{};
    cudaGraphExec_t replay{};
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    plan->forward(args);
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&replay, graph, 0), cudaSuccess);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(replay, stream), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    device.o.fetch(in.o);
    device.lse.fetch(in.lse);
    compare(in, [&](auto, auto, std::int32_t i, std::int32_t j) {
      return mask(place[static_cast<std::size_t>(i)], place[static_cast<std::size_t>(j)]);
    });
    ASSERT_EQ(cudaGraphExecDestroy(replay), cudaSuccess);
    ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  }
}

/// The size follows from the shapes: Q, then K and V, in 16 bits each.
TEST(HopperForward, WorkspaceIsAskedForAndChecked) {
  const std::int32_t n = 128;
  const BlockMask mask = block_mask(n, n, 79).tiled();
  std::vector<std::int32_t> order(n);
  std::iota(order.rbegin(), order.rend(), 0);
  const Inputs in({.heads = 4, .kv_heads = 2, .head_dim = 64, .dtype = DType::f16}, n, n);
  const DeviceInputs device(in);
  ForwardArgs args = device.args();
  args.q.data = args.k.data = args.v.data = args.o.data = nullptr;
  EXPECT_EQ(hopper().prepare(mask)->forward_workspace(args), 0U);
  const auto rows = hopper().prepare(mask, {.q_order = order});
  const auto both = hopper().prepare(mask, {.q_order = order, .kv_order = order});
  const std::size_t slack = 64;
  const std::size_t counters = (4 + 2) * 4;  // one for each head of queries and of keys
  EXPECT_EQ(rows->forward_workspace(args), 4U * n * 64 * 2 + counters + slack);
  EXPECT_EQ(both->forward_workspace(args), (4U + 2 + 2) * n * 64 * 2 + counters + slack);

  args = device.args();
  const Buffer workspace = give_workspace(*both, args);
  const auto code = ErrorCode::invalid_argument;
  args.workspace = static_cast<std::byte*>(workspace.get()) + 8;
  expect_error(code, "boundary of 64 bytes", [&] { both->forward(args); });
  args.workspace = workspace.get();
  --args.workspace_bytes;
  expect_error(code, "has 131159 bytes, but 131160 are needed", [&] { both->forward(args); });
}

TEST(HopperForward, SameBitsTwice) {
  const BoolMask mask = block_mask(1500, 1500, 13);
  const Inputs first({.batch = 2, .heads = 4, .kv_heads = 2, .head_dim = 128, .dtype = DType::bf16},
                     1500, 1500);
  const Inputs second = first;
  run(first, mask.tiled());
  run(second, mask.tiled());
  EXPECT_EQ(std::memcmp(first.o.view().data, second.o.view().data,
                        static_cast<std::size_t>(first.o.view().elements()) * 2),
            0);
}

TEST(HopperForward, ChangedMaskPreparedAgain) {
  BoolMask mask = block_mask(260, 260, 4);
  check({.head_dim = 64, .dtype = DType::bf16}, mask);
  for (std::uint8_t& pair : mask.allowed) pair = pair != 0 ? 0 : 1;
  check({.head_dim = 64, .dtype = DType::bf16}, mask);
}

TEST(HopperForward, TwoMasksOnTwoStreams) {
  const std::array masks{block_mask(900, 900, 41), block_mask(900, 900, 42)};
  std::array<cudaStream_t, 2> streams{};
  std::vector<Inputs> inputs;
  std::vector<std::unique_ptr<DeviceInputs>> device;
  std::vector<std::unique_ptr<Plan>> plans;
  for (std::size_t s = 0; s < 2; ++s) {
    ASSERT_EQ(cudaStreamCreateWithFlags(&streams[s], cudaStreamNonBlocking), cudaSuccess);
    inputs.push_back(
        Inputs({.heads = 2, .kv_heads = 2, .head_dim = 64, .dtype = DType::f16, .seed = 60 + s},
               900, 900));
    plans.push_back(hopper().prepare(masks[s].tiled()));
  }
  for (const Inputs& in : inputs) device.push_back(std::make_unique<DeviceInputs>(in));
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (int repeat = 0; repeat < 20; ++repeat) {
    for (std::size_t s = 0; s < 2; ++s) {
      ForwardArgs args = device[s]->args();
      args.stream = streams[s];
      plans[s]->forward(args);
    }
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (std::size_t s = 0; s < 2; ++s) {
    device[s]->o.fetch(inputs[s].o);
    device[s]->lse.fetch(inputs[s].lse);
    compare(inputs[s], rule_of(masks[s]));
    ASSERT_EQ(cudaStreamDestroy(streams[s]), cudaSuccess);
  }
}

/// [batch, rows, heads, head_dim] in memory, as models keep it.
TEST(HopperForward, HeadsInsideRows) {
  const std::int32_t n = 200;
  const BoolMask mask = block_mask(n, n, 8);
  const Problem problem{
      .batch = 2, .heads = 3, .kv_heads = 3, .head_dim = 64, .dtype = DType::bf16};
  const Inputs in(problem, n, n);
  const auto interleaved = [&](const Tensor& from) {
    Tensor to({2, n, 3, 64}, DType::bf16);
    for (std::int64_t b = 0; b < 2; ++b) {
      for (std::int64_t h = 0; h < 3; ++h) {
        for (std::int64_t i = 0; i < n; ++i) {
          for (std::int64_t d = 0; d < 64; ++d) {
            to.set(to.offset(b, i, h, d), from.get(from.offset(b, h, i, d)));
          }
        }
      }
    }
    return to;
  };
  const std::array host{interleaved(in.q), interleaved(in.k), interleaved(in.v), interleaved(in.o)};
  std::vector<OnDevice> device;
  for (const Tensor& tensor : host) device.emplace_back(tensor);
  const auto seen = [&](std::size_t which) {
    TensorView view = device[which].view();
    view.shape = {2, 3, n, 64};
    view.strides = {n * 3 * 64, 64, 3 * 64, 1};
    return view;
  };
  hopper()
      .prepare(mask.tiled())
      ->forward({.q = seen(0), .k = seen(1), .v = seen(2), .o = seen(3), .lse = {}, .scale = {}});
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  device[3].fetch(host[3]);
  const auto oracle = attention<double>(in, rule_of(mask));
  for (std::int64_t n_at = 0; n_at < in.o.view().elements(); ++n_at) {
    const std::int64_t d = n_at % 64, i = n_at / 64 % n, h = n_at / 64 / n % 3,
                       b = n_at / 64 / n / 3;
    ASSERT_NEAR(host[3].get(host[3].offset(b, i, h, d)), oracle.o[static_cast<std::size_t>(n_at)],
                2e-2)
        << "b " << b << " h " << h << " i " << i << " d " << d;
  }
}

TEST(HopperForward, KernelTilesAsAskedFor) {
  const BoolMask mask = random_mask(400, 500, 5);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const Inputs wide({.heads = 2, .head_dim = 128, .dtype = dtype}, 400, 500);
    run(wide, mask.tiled(), {.kernel_tile = TileShape{128, 128}});
    compare(wide, rule_of(mask));
    run(wide, mask.tiled(), {.kernel_tile = TileShape{192, 64}});
    compare(wide, rule_of(mask));
    expect_error(ErrorCode::unsupported, "192x128 with " + std::string(to_string(dtype)), [&] {
      run(wide, mask.tiled(), {.kernel_tile = TileShape{192, 128}});
    });
  }
  expect_error(ErrorCode::unsupported, "no kernel for tiles of 256x64, only for 192x128, 128x128",
               [&] {
                 (void)hopper().prepare(mask.tiled(), {.kernel_tile = TileShape{256, 64}});
               });
}

TEST(HopperForward, SaysWhatItCannotRun) {
  const BoolMask mask(64, 64, [](auto, auto) { return true; });
  const Inputs odd({.head_dim = 72, .dtype = DType::bf16}, 64, 64);
  EXPECT_NE(hopper().supports(odd.args(), mask.tiled())->find("head_dim 72"), std::string::npos);
  const Inputs single({.head_dim = 64, .dtype = DType::f32}, 64, 64);
  EXPECT_NE(hopper().supports(single.args(), mask.tiled())->find("f32"), std::string::npos);
  const Inputs good({.head_dim = 64, .dtype = DType::bf16}, 64, 64);
  EXPECT_NE(hopper().supports(good.args(), mask.tiled({32, 64}))->find("32x64"), std::string::npos);
  EXPECT_FALSE(hopper().supports(good.args(), mask.tiled()));
}

}  // namespace
}  // namespace attn::test

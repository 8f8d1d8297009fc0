// SPDX-License-Identifier: Apache-2.0
//
// Plans: orders inside the call, strides, threads, masks that change.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <thread>

#include "attn/errors.hpp"
#include "attn/oracle.hpp"

namespace attn::test {
namespace {

class PlanOf : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Host, PlanOf, testing::ValuesIn(host_backends()),
                         [](const auto& test) { return test.param; });

std::vector<std::int32_t> shuffled(std::int32_t n, std::uint64_t seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

TEST_P(PlanOf, OrdersLeaveTheTensorsInTheCallersOrder) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const BoolMask natural = random_mask(90, 110, 21);
    const auto q_order = shuffled(90, 1);
    const auto kv_order = shuffled(110, 2);
    const BoolMask permuted(90, 110, [&](int i, int j) {
      return natural(q_order[static_cast<std::size_t>(i)], kv_order[static_cast<std::size_t>(j)]);
    });
    const Inputs in({.heads = 4, .kv_heads = 2, .head_dim = 40, .dtype = dtype}, 90, 110);
    forward(in.args(), permuted.tiled({16, 24}), GetParam(),
            {.threads = 2, .q_order = q_order, .kv_order = kv_order});
    compare_with_fp64(in, rule_of(natural));
  }
}

TEST_P(PlanOf, OrdersAgreeWithGatheringByHand) {
  const BoolMask mask = random_mask(60, 60, 23);
  const auto order = shuffled(60, 3);
  const Inputs inside({.heads = 2, .head_dim = 16}, 60, 60);
  forward(inside.args(), mask.tiled({16, 16}), GetParam(), {.q_order = order, .kv_order = order});

  const Inputs gathered({.heads = 2, .head_dim = 16}, 60, 60);
  const Inputs outside({.heads = 2, .head_dim = 16}, 60, 60);
  gather_rows(outside.q.view(), order, gathered.q.view(), 2);
  gather_rows(outside.k.view(), order, gathered.k.view());
  gather_rows(outside.v.view(), order, gathered.v.view());
  forward(gathered.args(), mask.tiled({16, 16}), GetParam());
  scatter_rows(gathered.o.view(), order, outside.o.view(), 2);
  scatter_rows(gathered.lse.view(), order, outside.lse.view());
  for (std::int64_t n = 0; n < inside.o.view().elements(); ++n) {
    ASSERT_EQ(inside.o.get(n), outside.o.get(n)) << n;
  }
  for (std::int64_t n = 0; n < inside.lse.view().elements(); ++n) {
    ASSERT_EQ(inside.lse.get(n), outside.lse.get(n)) << n;
  }
}

TEST_P(PlanOf, ComputesInTheMasksTilesAlone) {
  const BlockMask mask = random_mask(90, 110, 21).tiled({16, 24});
  const Backend& host = backend(GetParam());
  EXPECT_NE(host.prepare(mask, {.kernel_tile = TileShape{16, 24}}), nullptr);
  expect_error(ErrorCode::unsupported, "tiles, here 16x24, not in 64x128", [&] {
    (void)host.prepare(mask, {.kernel_tile = TileShape{64, 128}});
  });
}

TEST_P(PlanOf, RefusesOrdersThatAreNoPermutations) {
  const BlockMask mask = random_mask(4, 5, 1).tiled({8, 8});
  const auto prepare = [&](std::vector<std::int32_t> q, std::vector<std::int32_t> kv) {
    return
        [&mask, q, kv] { (void)backend(GetParam()).prepare(mask, {.q_order = q, .kv_order = kv}); };
  };
  const auto code = ErrorCode::invalid_argument;
  expect_error(code, "q_order is not a permutation of 4 rows: it has 3 entries",
               prepare({0, 1, 2}, {}));
  expect_error(code,
               "q_order is not a permutation of 4 rows: entry 2 is 1, which stands before it too",
               prepare({0, 1, 1, 3}, {}));
  expect_error(code, "kv_order is not a permutation of 5 rows: entry 4 is 5",
               prepare({}, {0, 1, 2, 3, 5}));
  expect_error(code, "kv_order is not a permutation of 5 rows: entry 0 is -1",
               prepare({}, {-1, 1, 2, 3, 4}));
}

/// A copy of a tensor with other strides: the axes from slowest to fastest, and padding inside.
struct Strided {
  std::vector<std::byte> bytes;
  TensorView view;

  Strided(const Tensor& source, std::array<std::size_t, 4> slow_to_fast, std::int64_t spread) {
    view = source.view();
    std::int64_t stride = spread;
    for (std::size_t k = 4; k-- > 0;) {
      view.strides[slow_to_fast[k]] = stride;
      stride *= view.shape[slow_to_fast[k]] + 1;
    }
    bytes.resize(static_cast<std::size_t>(stride) * size_of(view.dtype));
    view.data = bytes.data();
    each([&](std::int64_t from, std::int64_t to) {
      std::memcpy(bytes.data() + to * std::int64_t(size_of(view.dtype)),
                  static_cast<const std::byte*>(source.view().data) +
                      from * std::int64_t(size_of(view.dtype)),
                  size_of(view.dtype));
    });
  }
  /// Calls with the place in a contiguous tensor and the place here, of every element.
  template <class Visit>
  void each(Visit visit) const {
    std::int64_t n = 0;
    for (std::int64_t b = 0; b < view.shape[0]; ++b) {
      for (std::int64_t h = 0; h < view.shape[1]; ++h) {
        for (std::int64_t i = 0; i < view.shape[2]; ++i) {
          for (std::int64_t d = 0; d < view.shape[3]; ++d) {
            visit(n++, b * view.strides[0] + h * view.strides[1] + i * view.strides[2] +
                           d * view.strides[3]);
          }
        }
      }
    }
  }
};

TEST_P(PlanOf, AnyStrides) {
  // [B, N, H, D] as most models hold it, d slowest, elements two apart.
  using Axes = std::array<std::size_t, 4>;
  for (const auto& [axes, spread] : {std::pair{Axes{0, 2, 1, 3}, std::int64_t{1}},
                                     {Axes{3, 2, 1, 0}, std::int64_t{1}},
                                     {Axes{0, 1, 2, 3}, std::int64_t{2}}}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      const BoolMask mask = random_mask(37, 50, 24);
      const Problem problem{.batch = 2, .heads = 2, .kv_heads = 1, .head_dim = 19, .dtype = dtype};
      const Inputs dense(problem, 37, 50);
      const Inputs source(problem, 37, 50);
      const Strided q(source.q, axes, spread);
      const Strided k(source.k, axes, spread);
      const Strided v(source.v, axes, spread);
      const Strided o(source.o, axes, spread);
      const Strided lse(source.lse, axes, spread);
      const auto plan = backend(GetParam()).prepare(mask.tiled({16, 16}));
      plan->forward(dense.args());
      plan->forward({.q = q.view, .k = k.view, .v = v.view, .o = o.view, .lse = lse.view});
      o.each([&](std::int64_t from, std::int64_t to) {
        const auto item = std::int64_t(size_of(dtype));
        ASSERT_EQ(std::memcmp(static_cast<const std::byte*>(dense.o.view().data) + from * item,
                              o.bytes.data() + to * item, size_of(dtype)),
                  0)
            << from;
      });
      lse.each([&](std::int64_t from, std::int64_t to) {
        float value;
        std::memcpy(&value, lse.bytes.data() + to * 4, 4);
        ASSERT_EQ(value, dense.lse.get(from)) << from;
      });
    }
  }
}

TEST_P(PlanOf, MoreKeysThanTheWorkspaceHoldsAtOnce) {
  // Five key heads of 65,536 keys, three at a time in 128 MiB. All keys weigh the same and all
  // values of a head are alike, so that the output names the head that was read.
  constexpr std::int32_t kKeys = 65536;
  const BoolMask ones(1, kKeys, [](int, int) { return true; });
  const Tensor q({1, 5, 1, 64}, DType::f16);
  const Tensor k({1, 5, kKeys, 64}, DType::f16);
  Tensor v({1, 5, kKeys, 64}, DType::f16);
  for (std::int64_t n = 0; n < v.view().elements(); ++n) {
    v.set(n, static_cast<float>(1 + n / (kKeys * 64)));
  }
  const Tensor o({1, 5, 1, 64}, DType::f16);
  const Tensor lse({1, 5, 1, 1});
  forward({.q = q.view(), .k = k.view(), .v = v.view(), .o = o.view(), .lse = lse.view()},
          ones.tiled({8, 256}), GetParam(), {.threads = 2});
  for (std::int64_t n = 0; n < o.view().elements(); ++n) {
    ASSERT_EQ(o.get(n), static_cast<float>(1 + n / 64)) << n;
  }
  for (std::int64_t n = 0; n < lse.view().elements(); ++n) {
    ASSERT_NEAR(lse.get(n), std::log(double{kKeys}), 1e-5) << n;
  }
}

TEST_P(PlanOf, LseMayBeLeftOut) {
  const Inputs in({.head_dim = 8}, 16, 16);
  ForwardArgs args = in.args();
  args.lse = {};
  const BoolMask ones(16, 16, [](int, int) { return true; });
  forward(args, ones.tiled({8, 8}), GetParam());
  EXPECT_TRUE(unsound_rows(in.o).empty());
  EXPECT_EQ(in.lse.get(0), 777.0f);
}

TEST_P(PlanOf, AChangedMaskPreparedAgainGivesTheNewAnswer) {
  BoolMask mask(24, 24, [](int i, int j) { return i == j; });
  const Inputs in({.head_dim = 8}, 24, 24);
  const auto before = backend(GetParam()).prepare(mask.tiled({8, 8}));
  // The same memory holds another mask now; the old plan keeps its answer.
  for (std::int32_t i = 0; i < 24; ++i) {
    for (std::int32_t j = 0; j < 24; ++j) mask.allowed[mask.index(i, j)] = j == 23 - i;
  }
  const auto after = backend(GetParam()).prepare(mask.tiled({8, 8}));
  // One allowed key: the output is its value.
  for (int repeat = 0; repeat < 2; ++repeat) {
    before->forward(in.args());
    EXPECT_NEAR(in.o.get(in.o.offset(0, 0, 2, 1)), in.v.get(in.v.offset(0, 0, 2, 1)), 1e-6);
    after->forward(in.args());
    EXPECT_NEAR(in.o.get(in.o.offset(0, 0, 2, 1)), in.v.get(in.v.offset(0, 0, 21, 1)), 1e-6);
  }
}

TEST_P(PlanOf, TwoPlansAndOnePlanFromManyThreads) {
  const BoolMask first_mask = random_mask(80, 80, 25);
  const BoolMask second_mask = random_mask(80, 80, 26);
  const auto first = backend(GetParam()).prepare(first_mask.tiled({16, 16}), {.threads = 2});
  const auto second = backend(GetParam()).prepare(second_mask.tiled({16, 16}), {.threads = 2});
  const Problem problem{.heads = 2, .head_dim = 16};
  std::vector<Inputs> results(8, Inputs(problem, 80, 80));
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int repeat = 0; repeat < 5; ++repeat) {
        (t % 2 == 0 ? first : second)->forward(results[t].args());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t parity = 0; parity < 2; ++parity) {
    const Inputs alone(problem, 80, 80);
    (parity == 0 ? first : second)->forward(alone.args());
    for (std::size_t t = parity; t < results.size(); t += 2) {
      for (std::int64_t n = 0; n < alone.o.view().elements(); ++n) {
        ASSERT_EQ(results[t].o.get(n), alone.o.get(n)) << "thread " << t << ", element " << n;
      }
    }
  }
}

}  // namespace
}  // namespace attn::test

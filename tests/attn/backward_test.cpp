// SPDX-License-Identifier: Apache-2.0
//
// The gradients of every backend that can run here against fp64, and fp64 against differences.
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>

#include "attn/errors.hpp"
#include "attn/gradients.hpp"

namespace attn::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

class BackwardPass : public testing::TestWithParam<std::string> {
 protected:
  RunBackward run = on_host(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Host, BackwardPass, testing::ValuesIn(host_backends()),
                         [](const auto& test) { return test.param; });

/// dL/dx of L = Σ dO ∘ O by central differences of attention in fp64.
TEST_P(BackwardPass, AgreesWithDifferences) {
  const BoolMask mask(5, 7, [](int i, int j) { return i != 2 && j != 4 && (i * j) % 3 != 1; });
  const Problem p{.heads = 2, .head_dim = 3, .seed = 4};
  Backward problem(p, 5, 7);
  problem.attend(mask.tiled({8, 8}));
  run(problem, mask.tiled({8, 8}), {});
  const auto loss = [&] {
    const auto answer = attention<double>(problem.in, rule_of(mask));
    double sum = 0;
    for (std::size_t n = 0; n < answer.o.size(); ++n) {
      sum += answer.o[n] * double{problem.d_o.get(static_cast<std::int64_t>(n))};
    }
    return sum;
  };
  const auto check = [&](const char* what, Tensor& input, const Tensor& gradient) {
    for (std::int64_t n = 0; n < input.view().elements(); ++n) {
      constexpr float kStep = 0x1p-9F;
      const float value = input.get(n);
      input.set(n, value + kStep);
      const double up = input.get(n);
      const double above = loss();
      input.set(n, value - kStep);
      const double down = input.get(n);
      const double below = loss();
      input.set(n, value);
      EXPECT_NEAR(gradient.get(n), (above - below) / (up - down), 2e-5) << what << "[" << n << "]";
    }
  };
  check("dQ", problem.in.q, problem.dq);
  check("dK", problem.in.k, problem.dk);
  check("dV", problem.in.v, problem.dv);
}

TEST_P(BackwardPass, EveryDtypeAndHeadDim) {
  std::uint64_t seed = 1;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t head_dim : {1, 8, 40, 64, 96, 128, 256}) {
      check_gradients(run, {.head_dim = head_dim, .dtype = dtype, .seed = seed},
                      random_mask(50, 60, seed), {.block_m = 16, .block_n = 24});
      ++seed;
    }
  }
}

TEST_P(BackwardPass, RandomShapesAndTiles) {
  std::mt19937_64 random(12);
  const auto pick = [&](auto... choices) {
    const std::array list{choices...};
    return list[random() % list.size()];
  };
  // The reference has no tiles to go wrong.
  const std::uint64_t last = GetParam() == "reference" ? 220 : 300;
  for (std::uint64_t seed = 200; seed < last; ++seed) {
    const auto n_q = static_cast<std::int32_t>(1 + random() % 100);
    const auto n_k = static_cast<std::int32_t>(1 + random() % 120);
    const std::int64_t kv_heads = pick(1, 2);
    const Problem p{.batch = pick(1, 2),
                    .heads = kv_heads * pick(1, 3),
                    .kv_heads = kv_heads,
                    .head_dim = pick(3, 16, 33),
                    .dtype = pick(DType::f32, DType::f16, DType::bf16),
                    .seed = seed};
    check_gradients(
        run, p, random_mask(n_q, n_k, seed),
        {.block_m = pick(8, 16, 24, 64, 128, 256), .block_n = pick(8, 16, 40, 64, 128, 256)});
    if (HasFailure()) return;
  }
}

TEST_P(BackwardPass, PlantedMasks) {
  for (const auto& [name, mask] : planted_masks(200)) {
    SCOPED_TRACE(name);
    check_gradients(run, {.heads = 2, .kv_heads = 1, .head_dim = 24, .seed = 7}, mask, {64, 64});
  }
}

TEST_P(BackwardPass, MasksPerBatchAndPerHead) {
  check_gradients_of_stacks(run, {.head_dim = 16, .seed = 40}, 50, 70, {16, 24});
}

TEST_P(BackwardPass, OrdersInsideTheCall) {
  check_gradient_orders(run, {.batch = 2, .heads = 2, .kv_heads = 1, .head_dim = 16, .seed = 9},
                        random_mask(90, 70, 9), {16, 24});
}

TEST_P(BackwardPass, ScaleIsUsed) {
  for (const float scale : {0.5f, 0.0f, -0.25f, 5.0f}) {
    SCOPED_TRACE(scale);
    check_gradients(run, {.head_dim = 32, .seed = 5, .scale = scale}, random_mask(64, 64, 5),
                    {16, 16});
  }
}

TEST_P(BackwardPass, EmptyRowsAndColumnsGiveZeros) {
  const auto empty = [](std::int32_t n) { return n == 3 || n / 8 == 2 || n == 30; };
  const BoolMask mask(40, 40, [&](int i, int j) {
    return !empty(i) && !empty(j) && (i < 16 ? (i + j) % 3 == 0 : true);
  });
  const Backward problem({.heads = 2, .head_dim = 24}, 40, 40);
  problem.attend(mask.tiled({8, 8}));
  run(problem, mask.tiled({8, 8}), {});
  for (const auto& [name, tensor] : {std::pair<const char*, const Tensor&>{"dQ", problem.dq},
                                     {"dK", problem.dk},
                                     {"dV", problem.dv}}) {
    for (std::int64_t n = 0; n < tensor.view().elements(); ++n) {
      const auto row = static_cast<std::int32_t>(n / 24 % tensor.view().rows());
      EXPECT_EQ(tensor.get(n) == 0.0f, empty(row)) << name << "[" << n << "] is " << tensor.get(n);
    }
  }
}

TEST_P(BackwardPass, NonFiniteValuesReachAllowedPairsAlone) {
  for (const float bad : {kNaN, kInf, -kInf}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      check_gradient_containment(run, {.head_dim = 40, .dtype = dtype, .seed = 3}, bad, {64, 64});
    }
    check_gradient_containment(run, {.head_dim = 16, .seed = 3}, bad, {16, 24});
  }
}

TEST_P(BackwardPass, SameBitsOnAnyNumberOfThreads) {
  const BoolMask mask = random_mask(130, 140, 12);
  const BlockMask tiled = mask.tiled({16, 32});
  const Problem p{.batch = 2, .heads = 6, .kv_heads = 2, .head_dim = 40, .seed = 12};
  const Backward first(p, 130, 140);
  first.attend(tiled);
  run(first, tiled, {.threads = 1});
  for (const int threads : {1, 2, 8}) {
    const Backward again(p, 130, 140);
    again.attend(tiled);
    run(again, tiled, {.threads = threads});
    const auto same = [&](const char* what, const Tensor& a, const Tensor& b) {
      EXPECT_EQ(std::memcmp(a.view().data, b.view().data,
                            static_cast<std::size_t>(a.view().elements()) * 4),
                0)
          << what << " on " << threads << " threads";
    };
    same("dQ", first.dq, again.dq);
    same("dK", first.dk, again.dk);
    same("dV", first.dv, again.dv);
  }
}

/// [batch, rows, heads, head_dim] in memory, as models keep it, for all tensors.
TEST_P(BackwardPass, HeadsInsideRows) {
  const BoolMask mask = random_mask(40, 50, 6);
  const BlockMask tiled = mask.tiled({16, 16});
  const Backward dense({.batch = 2, .heads = 4, .kv_heads = 2, .head_dim = 8}, 40, 50);
  dense.attend(tiled);
  run(dense, tiled, {});

  const auto interleaved = [](const Tensor& from) {
    const auto [batch, heads, rows, width] = from.view().shape;
    auto to = std::make_unique<Tensor>(std::array{batch, rows, heads, width});
    for (std::int64_t n = 0; n < from.view().elements(); ++n) {
      const std::int64_t d = n % width, i = n / width % rows, h = n / width / rows % heads;
      to->set(to->offset(n / width / rows / heads, i, h, d), from.get(n));
    }
    return to;
  };
  const auto seen = [](const std::unique_ptr<Tensor>& tensor) {
    TensorView view = tensor->view();
    std::swap(view.shape[1], view.shape[2]);
    std::swap(view.strides[1], view.strides[2]);
    return view;
  };
  const std::array copies{
      interleaved(dense.in.q), interleaved(dense.in.k), interleaved(dense.in.v),
      interleaved(dense.in.o), interleaved(dense.d_o),  interleaved(dense.in.lse),
      interleaved(dense.in.q), interleaved(dense.in.k), interleaved(dense.in.v)};
  backward({.q = seen(copies[0]),
            .k = seen(copies[1]),
            .v = seen(copies[2]),
            .o = seen(copies[3]),
            .d_o = seen(copies[4]),
            .lse = seen(copies[5]),
            .dq = seen(copies[6]),
            .dk = seen(copies[7]),
            .dv = seen(copies[8])},
           tiled, GetParam());
  const std::array results{interleaved(dense.dq), interleaved(dense.dk), interleaved(dense.dv)};
  for (std::size_t which = 0; which < 3; ++which) {
    for (std::int64_t n = 0; n < results[which]->view().elements(); ++n) {
      ASSERT_EQ(copies[6 + which]->get(n), results[which]->get(n)) << which << ", " << n;
    }
  }
}

TEST(BackwardOfCpu, MoreKeysThanTheWorkspaceHoldsAtOnce) {
  // Four key heads of 32,768 keys, three at a time in 128 MiB. Each query allows a few keys of
  // every tile.
  check_gradients(on_host("cpu"), {.heads = 4, .kv_heads = 4, .head_dim = 64, .dtype = DType::f16},
                  {2, 32768, [](int i, int j) { return j % 128 == 17 + i; }}, {8, 256});
}

TEST_P(BackwardPass, NoQueriesAndNoKeys) {
  for (const auto& [n_q, n_k] : {std::pair{0, 12}, {12, 0}}) {
    const BoolMask mask(n_q, n_k, [](int, int) { return true; });
    check_gradients(run, {.heads = 2, .kv_heads = 1, .head_dim = 8}, mask, {8, 8});
  }
}

TEST_P(BackwardPass, RefusesWhatDoesNotFit) {
  const BoolMask mask(10, 12, [](int, int) { return true; });
  const BlockMask tiled = mask.tiled({8, 8});
  const Backward problem({.batch = 2, .heads = 4, .kv_heads = 2, .head_dim = 8}, 10, 12);
  const auto refused = [&](const std::string& part, auto change) {
    BackwardArgs args = problem.args();
    change(args);
    const auto code = ErrorCode::invalid_argument;
    expect_error(code, part, [&] { validate(args, tiled); });
    expect_error(code, part, [&] { backward(args, tiled, GetParam()); });
    const auto plan = backend(GetParam()).prepare(tiled, {.backward = true});
    expect_error(code, part, [&] { plan->backward(args); });
  };
  using Args = BackwardArgs;
  refused("dO has shape [2, 4, 9, 8], but [2, 4, 10, 8] is needed",
          [](Args& args) { args.d_o.shape[2] = 9; });
  refused("dK has shape [2, 4, 12, 8], but [2, 2, 12, 8] is needed",
          [](Args& args) { args.dk.shape[1] = 4; });
  refused("dV is bf16, but f32 is needed", [](Args& args) { args.dv.dtype = DType::bf16; });
  refused("LSE has a null data pointer", [](Args& args) { args.lse.data = nullptr; });
  refused("dQ has a null data pointer", [](Args& args) { args.dq.data = nullptr; });
  refused("dQ is written, but its stride on axis 2 is 0",
          [](Args& args) { args.dq.strides[2] = 0; });
  refused("the scale is nan, but it must be finite", [](Args& args) { args.scale = kNaN; });
}

TEST_P(BackwardPass, NeedsItsPlanAndItsWorkspace) {
  const BoolMask mask(30, 30, [](int i, int j) { return j <= i; });
  const BlockMask tiled = mask.tiled({8, 8});
  const Backward problem({.head_dim = 8}, 30, 30);
  problem.attend(tiled);
  const auto code = ErrorCode::invalid_argument;
  expect_error(code, "set PrepareOptions::backward",
               [&] { backend(GetParam()).prepare(tiled)->backward(problem.args()); });

  // The size is told without looking at memory, and just that much is enough, twice.
  const auto plan = backend(GetParam()).prepare(tiled, {.threads = 2, .backward = true});
  BackwardArgs args = problem.args();
  BackwardArgs shapes = args;
  for (TensorView* view : {&shapes.q, &shapes.k, &shapes.v, &shapes.o, &shapes.d_o, &shapes.lse,
                           &shapes.dq, &shapes.dk, &shapes.dv}) {
    view->data = nullptr;
  }
  args.workspace_bytes = plan->backward_workspace(shapes);
  const Buffer workspace = backend(GetParam()).allocate(args.workspace_bytes + 64);
  args.workspace = workspace.get();
  plan->backward(args);
  compare_gradients(problem, rule_of(mask));
  plan->backward(args);
  compare_gradients(problem, rule_of(mask));
  if (args.workspace_bytes == 0) return;

  args.workspace = static_cast<std::byte*>(workspace.get()) + 8;
  expect_error(code, "boundary of 64 bytes", [&] { plan->backward(args); });
  args.workspace = nullptr;
  expect_error(code, "the workspace is null", [&] { plan->backward(args); });
  --args.workspace_bytes;
  expect_error(code, "the workspace has", [&] { plan->backward(args); });
}

}  // namespace
}  // namespace attn::test

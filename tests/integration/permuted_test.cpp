// SPDX-License-Identifier: Apache-2.0
// Running permuted: Q and O follow the row order, K and V the column order; O and LSE come back in
// the caller's order and equal the result in the natural order, and so do the gradients. Every
// strategy, every mask family.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "attn/attention.hpp"
#include "experiments/build_mask.hpp"
#include "experiments/gradient_oracle.hpp"
#include "experiments/oracle.hpp"
#include "experiments/tensors.hpp"
#include "integration/families.hpp"
#include "reorder/error.hpp"
#include "reorder/pipeline.hpp"

namespace experiments {
namespace {

constexpr reorder::Tile kTile{32, 16};  // smaller than any mask, so that tiles are skipped
constexpr int kHeadDim = 16;

/// Strategies that need no parameter, alone and composed.
std::vector<std::string> pipelines(const reorder::Registry& registry) {
  std::vector<std::string> all;
  for (const auto& strategy : registry.strategies()) {
    const auto& info = strategy->info();
    const bool needs_parameter = std::any_of(info.params.begin(), info.params.end(),
                                             [](const auto& p) { return p.required; });
    if (info.unavailable.empty() && !needs_parameter) all.push_back(info.name);
  }
  all.emplace_back("best_of(natural,random,rcm)");
  all.emplace_back("random|rcm|random");
  return all;
}

struct Results {
  Tensor o, lse;
};

Results outputs(const Inputs& in) {
  const auto& q = in.q.view;
  return {allocate(host_backend(), q.dtype, q.shape),
          allocate(host_backend(), attn::DType::f32, {q.batch(), q.heads(), q.rows(), 1})};
}

Tensor gathered(const Tensor& tensor, const reorder::Permutation& order) {
  Tensor to = allocate(host_backend(), tensor.view.dtype, tensor.view.shape);
  attn::gather_rows(tensor.view, order.new_to_old(), to.view);
  return to;
}

/// The largest difference; LSE of a query without keys must be −inf in both.
double difference(const attn::TensorView& a, const attn::TensorView& b) {
  double largest = 0;
  const auto* x = static_cast<const float*>(a.data);
  const auto* y = static_cast<const float*>(b.data);
  for (std::int64_t i = 0; i < a.elements(); ++i) {
    if (x[i] == y[i]) continue;
    const double d = std::abs(static_cast<double>(x[i]) - y[i]);
    largest = std::max(largest, std::isfinite(d) ? d : HUGE_VAL);
  }
  return largest;
}

Tensor allocate_copy(const Tensor& tensor) {
  Tensor to = allocate_like(tensor);
  std::memcpy(to.view.data, tensor.view.data, tensor.bytes());
  return to;
}

/// dQ, dK and dV of a fused call of the backend `cpu`, with O and LSE as the natural order has
/// them.
Gradients fused_gradients(const Inputs& in, const Results& natural, const attn::BlockMask& mask,
                          const reorder::Ordering& ordering) {
  Gradients out{allocate_like(in.q), allocate_like(in.k), allocate_like(in.v)};
  attn::backward({.q = in.q.view,
                  .k = in.k.view,
                  .v = in.v.view,
                  .o = natural.o.view,
                  .d_o = in.d_o.view,
                  .lse = natural.lse.view,
                  .dq = out.dq.view,
                  .dk = out.dk.view,
                  .dv = out.dv.view,
                  .scale = {}},
                 mask, "cpu",
                 {.threads = 2,
                  .q_order = ordering.rows.new_to_old(),
                  .kv_order = ordering.cols.new_to_old()});
  return out;
}

class Permuted : public testing::TestWithParam<std::string> {};

TEST_P(Permuted, EqualsTheNaturalOrder) {
  const std::string& text = GetParam();
  const auto registry = reorder::Registry::with_builtins();
  const auto mask = masks::make(text);
  const reorder::CsrView pattern = mask.pattern;
  Problem problem;
  problem.batch = 2;
  problem.heads = 2;
  problem.kv_heads = 1;
  problem.head_dim = kHeadDim;
  problem.seed = 11;
  problem.pass = "both";
  const Inputs in = make_inputs(problem, pattern);
  const Oracle oracle(pattern, in, 1 / std::sqrt(static_cast<float>(kHeadDim)), Scope::whole, 0);
  const attn::TileShape shape{kTile.rows, kTile.cols};

  // The reference backend in the natural order.
  const Results natural = outputs(in);
  attn::forward({.q = in.q.view,
                 .k = in.k.view,
                 .v = in.v.view,
                 .o = natural.o.view,
                 .lse = natural.lse.view,
                 .scale = {}},
                attn::BlockMask::from_csr(to_attn(pattern), shape), "reference");
  ASSERT_EQ(oracle.compare(natural.o.view, natural.lse.view).mismatch, "");
  const GradientOracle gradient_oracle(pattern, reorder::transpose(pattern), in,
                                       {allocate_copy(natural.o), allocate_copy(natural.lse)},
                                       1 / std::sqrt(static_cast<float>(kHeadDim)), Scope::whole,
                                       0);

  int ran = 0;
  for (const auto& pipeline_text : pipelines(registry)) {
    SCOPED_TRACE(text + " | " + pipeline_text + ", seed 5");
    reorder::Pipeline::Result result;
    try {
      result = reorder::Pipeline::parse(pipeline_text, registry)
                   .run(pattern,
                        {.objective = reorder::Objective::tiles(kTile), .seed = 5, .threads = 1});
    } catch (const reorder::Error& error) {
      // Only a strategy that says so may refuse a rectangular mask.
      ASSERT_FALSE(pattern.is_square()) << error.what();
      continue;
    }
    ++ran;
    const auto& ordering = result.ordering;
    const auto built =
        attn::BlockMask::from_csr(to_attn(reorder::permute(pattern, ordering)), shape);
    EXPECT_EQ(disagreement(reorder::count_tiles(pattern, ordering, kTile), built).value_or(""), "");

    for (const auto* backend : attn::backends()) {
      if (!backend->info().unavailable.empty() || backend->info().device_memory) continue;
      SCOPED_TRACE(backend->info().name);
      // Gather, run, scatter.
      const Tensor q = gathered(in.q, ordering.rows);
      const Tensor k = gathered(in.k, ordering.cols);
      const Tensor v = gathered(in.v, ordering.cols);
      const Results permuted = outputs(in);
      backend->prepare(built)->forward({.q = q.view,
                                        .k = k.view,
                                        .v = v.view,
                                        .o = permuted.o.view,
                                        .lse = permuted.lse.view,
                                        .scale = {}});
      const Results back = outputs(in);
      attn::scatter_rows(permuted.o.view, ordering.rows.new_to_old(), back.o.view);
      attn::scatter_rows(permuted.lse.view, ordering.rows.new_to_old(), back.lse.view);
      EXPECT_EQ(oracle.compare(back.o.view, back.lse.view).mismatch, "") << "gathered";
      EXPECT_LE(difference(back.o.view, natural.o.view), oracle.tolerance()) << "gathered";
      EXPECT_LE(difference(back.lse.view, natural.lse.view), 2e-4) << "gathered";

      // The caller's tensors as they are, the orders in the plan.
      const Results fused = outputs(in);
      backend
          ->prepare(built, {.threads = 1,
                            .q_order = ordering.rows.new_to_old(),
                            .kv_order = ordering.cols.new_to_old()})
          ->forward({.q = in.q.view,
                     .k = in.k.view,
                     .v = in.v.view,
                     .o = fused.o.view,
                     .lse = fused.lse.view,
                     .scale = {}});
      EXPECT_EQ(oracle.compare(fused.o.view, fused.lse.view).mismatch, "") << "fused";
      EXPECT_LE(difference(fused.o.view, natural.o.view), oracle.tolerance()) << "fused";
    }
    EXPECT_EQ(gradient_oracle.compare(fused_gradients(in, natural, built, ordering)).mismatch, "");
  }
  EXPECT_GE(ran, 2) << "natural and random take every mask";
}

INSTANTIATE_TEST_SUITE_P(Families, Permuted, testing::ValuesIn(test::small_masks()),
                         test::family_name);

}  // namespace
}  // namespace experiments

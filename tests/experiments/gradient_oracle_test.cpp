// SPDX-License-Identifier: Apache-2.0
#include "experiments/gradient_oracle.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "attn/attention.hpp"
#include "experiments/build_mask.hpp"
#include "experiments/parameters.hpp"
#include "masks/mask.hpp"

namespace experiments {
namespace {

void fill(const Tensor& tensor, std::initializer_list<float> values) {
  std::copy(values.begin(), values.end(), static_cast<float*>(tensor.view.data));
}

/// Query 0 allows keys 0 and 1 with weights 1/4 and 3/4, query 1 none, query 2 key 2.
struct Small {
  reorder::Csr mask{3, 3, {0, 2, 2, 3}, {0, 1, 2}};
  Inputs in;
  Outputs given{allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1}),
                allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1})};

  Small() {
    Problem p;
    p.heads = p.kv_heads = 1;
    p.head_dim = 1;
    p.pass = "bwd";
    in = make_inputs(p, mask);
    fill(in.q, {2, 1, 1});
    fill(in.k, {0, std::log(3.0F) / 2, 5});
    fill(in.v, {4, 8, -2});
    fill(in.d_o, {1, 1, 10});
    fill(given.o, {7, 0, -2});
    fill(given.lse, {std::log(4.0F), -INFINITY, 5});
  }
  [[nodiscard]] GradientOracle oracle(Scope scope = Scope::whole) const {
    return GradientOracle(mask, reorder::transpose(mask), in, given, 1.0F, scope, 0);
  }
};

/// D = 7, so dS = 1/4 · (4 − 7) and 3/4 · (8 − 7) for query 0, and 0 for query 2, whose one weight
/// cannot change.
Gradients right_answer() {
  Gradients g{allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1}),
              allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1}),
              allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1})};
  fill(g.dq, {0.75F * std::log(3.0F) / 2, 0, 0});
  fill(g.dk, {-1.5F, 1.5F, 0});
  fill(g.dv, {0.25F, 0.75F, 10});
  return g;
}

TEST(GradientOracle, AcceptsTheAnswerWorkedOutByHand) {
  const Small small;
  const GradientOracle oracle = small.oracle();
  EXPECT_STREQ(oracle.scope(), "whole");
  EXPECT_EQ(oracle.queries(), 3);
  EXPECT_EQ(oracle.keys(), 3);
  const auto check = oracle.compare(right_answer());
  EXPECT_EQ(check.mismatch, "");
  for (const double error : check.max_error) EXPECT_LE(error, 1e-5);
}

TEST(GradientOracle, TakesOAndLseWhereTheyStand) {
  const Small small;
  const Outputs turned{allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1}),
                       allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1})};
  fill(turned.o, {-2, 7, 0});
  fill(turned.lse, {5, std::log(4.0F), -INFINITY});
  const auto judge = [&](std::vector<std::int32_t> place) {
    return GradientOracle(small.mask, reorder::transpose(small.mask), small.in, turned, 1.0F,
                          Scope::whole, 0, place)
        .compare(right_answer())
        .mismatch;
  };
  EXPECT_EQ(judge({1, 2, 0}), "");
  EXPECT_NE(judge({0, 1, 2}), "");
}

TEST(GradientOracle, NoticesEachKindOfMistake) {
  const Small small;
  const GradientOracle oracle = small.oracle();
  const auto mistake = [&](Tensor Gradients::*tensor, std::size_t row, float value) {
    Gradients g = right_answer();
    static_cast<float*>((g.*tensor).view.data)[row] = value;
    return oracle.compare(g).mismatch;
  };
  const auto says = [](const std::string& text, const char* what) {
    return text.find(what) != std::string::npos;
  };
  EXPECT_TRUE(says(mistake(&Gradients::dq, 0, 0.5F), "dQ[0] of query 0"));
  EXPECT_TRUE(says(mistake(&Gradients::dk, 1, 1.4F), "dK[0] of key 1"));
  EXPECT_TRUE(says(mistake(&Gradients::dv, 2, 9), "dV[0] of key 2"));
  EXPECT_TRUE(says(mistake(&Gradients::dv, 2, NAN), "dV[0] of key 2"));
  // A query without keys is exact: nothing near zero passes for zero.
  EXPECT_TRUE(says(mistake(&Gradients::dq, 1, 1e-20F), "dQ[0] of query 1"));
  EXPECT_NE(oracle.compare(right_answer(), NAN).mismatch, "") << "nothing is within NaN";
}

TEST(GradientOracle, AgreesWithTheReferenceBackend) {
  const auto mask = masks::make("docs(n=200,median=40,seed=5)");
  for (const char* dtype : {"f32", "f16", "bf16"}) {
    Problem p;
    p.batch = 2;
    p.heads = 4;
    p.kv_heads = 2;
    p.head_dim = 24;
    p.dtype = dtype;
    p.pass = "both";
    const Inputs in = make_inputs(p, mask.pattern);
    const attn::Backend& reference = attn::backend("reference");
    Operands operands = allocate_operands(reference, in);
    copy_in(reference, in, operands);
    const auto built = attn::BlockMask::from_csr(to_attn(mask.pattern), {64, 64});
    const auto plan =
        reference.prepare(built, {.threads = 2, .q_order = {}, .kv_order = {}, .backward = true});
    operands.reserve_workspace(reference, *plan);
    plan->forward(operands.args());
    plan->backward(operands.backward_args());
    const float scale = 1.0F / std::sqrt(24.0F);
    const GradientOracle oracle(mask.pattern, reorder::transpose(mask.pattern), in,
                                copy_out(reference, operands), scale, Scope::whole, 0);
    EXPECT_EQ(oracle.compare(copy_out_gradients(reference, operands)).mismatch, "") << dtype;
  }
}

TEST(GradientOracle, ASampleHoldsQueriesAndKeysOfEveryHead) {
  const auto mask = masks::make("causal(n=2048)");
  Problem p;
  p.pass = "bwd";
  const Inputs in = make_inputs(p, mask.pattern);
  const Outputs given{allocate(host_backend(), attn::DType::f32, in.q.view.shape),
                      allocate(host_backend(), attn::DType::f32, {1, 4, 2048, 1})};
  std::fill_n(static_cast<float*>(given.o.view.data), given.o.view.elements(), 0.0F);
  std::fill_n(static_cast<float*>(given.lse.view.data), given.lse.view.elements(), 5.0F);
  const GradientOracle oracle(mask.pattern, reorder::transpose(mask.pattern), in, given, 0.125F,
                              Scope::automatic, 1);
  EXPECT_STREQ(oracle.scope(), "sample");
  EXPECT_GE(oracle.queries(), 16);
  EXPECT_LT(oracle.queries(), 4 * 2048);
  EXPECT_GE(oracle.keys(), 16);
  EXPECT_LT(oracle.keys(), 4 * 2048);
}

TEST(GradientOracle, NothingIsComparedWhenNotAsked) {
  const GradientOracle oracle = Small().oracle(Scope::none);
  EXPECT_EQ(oracle.queries() + oracle.keys(), 0);
}

}  // namespace
}  // namespace experiments

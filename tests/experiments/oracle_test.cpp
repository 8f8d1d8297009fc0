// SPDX-License-Identifier: Apache-2.0
#include "experiments/oracle.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "attn/attention.hpp"
#include "experiments/build_mask.hpp"
#include "experiments/parameters.hpp"
#include "masks/mask.hpp"

namespace experiments {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Query 0 allows keys 0 and 1, query 1 none, query 2 key 2.
reorder::Csr small_mask() {
  return {3, 3, {0, 2, 2, 3}, {0, 1, 2}};
}

Problem small_problem() {
  Problem p;
  p.heads = p.kv_heads = 1;
  p.head_dim = 1;
  return p;
}

void fill(Tensor& tensor, std::initializer_list<float> values) {
  std::copy(values.begin(), values.end(), static_cast<float*>(tensor.view.data));
}

Inputs small_inputs(const reorder::Csr& mask) {
  Inputs in = make_inputs(small_problem(), mask);
  fill(in.q, {1, 1, 1});
  fill(in.k, {0, std::log(3.0F), 5});
  fill(in.v, {4, 8, -2});
  return in;
}

struct Result {
  Tensor o = allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1});
  Tensor lse = allocate(host_backend(), attn::DType::f32, {1, 1, 3, 1});
};

/// Weights 1/4 and 3/4: O = 7, LSE = log 4.
Result right_answer() {
  Result r;
  fill(r.o, {7, 0, -2});
  fill(r.lse, {std::log(4.0F), -kInfinity, 5});
  return r;
}

TEST(Oracle, AcceptsTheAnswerWorkedOutByHand) {
  const auto mask = small_mask();
  const Oracle oracle(mask, small_inputs(mask), 1.0F, Scope::whole, 0);
  EXPECT_STREQ(oracle.scope(), "whole");
  EXPECT_EQ(oracle.rows(), 3);
  const Result r = right_answer();
  const auto check = oracle.compare(r.o.view, r.lse.view);
  EXPECT_EQ(check.mismatch, "");
  EXPECT_LE(check.max_error, 1e-5);
}

TEST(Oracle, FollowsResultsIntoAnotherOrder) {
  const auto mask = small_mask();
  const Oracle oracle(mask, small_inputs(mask), 1.0F, Scope::whole, 0);
  Result moved;  // query 0 stands at row 2, query 1 at row 0, query 2 at row 1
  fill(moved.o, {0, -2, 7});
  fill(moved.lse, {-kInfinity, 5, std::log(4.0F)});
  const std::vector<std::int32_t> place = {2, 0, 1};
  EXPECT_EQ(oracle.compare(moved.o.view, moved.lse.view, 1, place).mismatch, "");
  EXPECT_NE(oracle.compare(moved.o.view, moved.lse.view).mismatch, "");
}

TEST(Oracle, NoticesEachKindOfMistake) {
  const auto mask = small_mask();
  const Oracle oracle(mask, small_inputs(mask), 1.0F, Scope::whole, 0);
  const auto mistake = [&](auto&& spoil) {
    Result r = right_answer();
    spoil(static_cast<float*>(r.o.view.data), static_cast<float*>(r.lse.view.data));
    return oracle.compare(r.o.view, r.lse.view).mismatch;
  };
  const auto says = [](const std::string& text, const char* what) {
    return text.find(what) != std::string::npos;
  };
  EXPECT_TRUE(says(mistake([](float* o, float*) { o[0] = 6; }), "O[0] of query 0"));
  const Result right = right_answer();
  EXPECT_NE(oracle.compare(right.o.view, right.lse.view, NAN).mismatch, "")
      << "nothing is within NaN";
  EXPECT_TRUE(says(mistake([](float* o, float*) { o[2] = NAN; }), "O[0] of query 2"));
  EXPECT_TRUE(says(mistake([](float*, float* lse) { lse[2] = 5.1F; }), "LSE of query 2"));
  // A query without keys is exact: nothing near zero passes for zero.
  EXPECT_TRUE(says(mistake([](float* o, float*) { o[1] = 1e-20F; }), "O[0] of query 1"));
  EXPECT_TRUE(says(mistake([](float*, float* lse) { lse[1] = -1e30F; }), "LSE of query 1"));
}

TEST(Oracle, AgreesWithTheReferenceBackend) {
  const auto mask = masks::make("docs(n=300,median=40,seed=5)");
  for (const char* dtype : {"f32", "f16", "bf16"}) {
    Problem p;
    p.batch = 2;
    p.heads = 4;
    p.kv_heads = 2;
    p.head_dim = 24;
    p.dtype = dtype;
    const Inputs in = make_inputs(p, mask.pattern);
    const float scale = 1.0F / std::sqrt(24.0F);
    const Oracle oracle(mask.pattern, in, scale, Scope::whole, 0);
    const Tensor o = allocate(host_backend(), in.q.view.dtype, in.q.view.shape);
    const Tensor lse = allocate(host_backend(), attn::DType::f32, {2, 4, 300, 1});
    const auto built = attn::BlockMask::from_csr(to_attn(mask.pattern), {64, 64});
    attn::forward(
        {.q = in.q.view, .k = in.k.view, .v = in.v.view, .o = o.view, .lse = lse.view, .scale = {}},
        built, "reference");
    const auto check = oracle.compare(o.view, lse.view);
    EXPECT_EQ(check.mismatch, "") << dtype;
    EXPECT_LE(check.max_error, oracle.tolerance()) << dtype;
  }
}

TEST(Oracle, ASampleHoldsTheNotableQueriesAndEveryHead) {
  // Too large to compute whole: 4 heads x 4096 x 4096 x 64.
  const auto mask = masks::make("causal(n=4096)");
  const Problem p;
  const Inputs in = make_inputs(p, mask.pattern);
  const Oracle oracle(mask.pattern, in, 0.125F, Scope::automatic, 1);
  EXPECT_STREQ(oracle.scope(), "sample");
  EXPECT_GE(oracle.rows(), 16);
  EXPECT_EQ(oracle.rows_total(), 4 * 4096);
  // A wrong answer everywhere is wrong in the sample.
  const Tensor o = allocate(host_backend(), attn::DType::f32, in.q.view.shape);
  const Tensor lse = allocate(host_backend(), attn::DType::f32, {1, 4, 4096, 1});
  std::fill_n(static_cast<float*>(o.view.data), o.view.elements(), 0.0F);
  std::fill_n(static_cast<float*>(lse.view.data), lse.view.elements(), 0.0F);
  EXPECT_NE(oracle.compare(o.view, lse.view).mismatch, "");
}

TEST(Oracle, NothingIsComparedWhenNotAsked) {
  const auto mask = small_mask();
  const Oracle oracle(mask, small_inputs(mask), 1.0F, Scope::none, 0);
  EXPECT_EQ(oracle.rows(), 0);
  EXPECT_STREQ(oracle.scope(), "none");
}

}  // namespace
}  // namespace experiments

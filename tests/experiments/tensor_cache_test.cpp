// SPDX-License-Identifier: Apache-2.0
#include "experiments/tensor_cache.hpp"

#include <gtest/gtest.h>

#include "attn/backend.hpp"

namespace experiments {
namespace {

const attn::Backend& cpu() {
  return attn::backend("cpu");
}

reorder::Csr empty_mask(std::int32_t n) {
  return {n, n, std::vector<std::int64_t>(static_cast<std::size_t>(n) + 1, 0), {}};
}

Problem problem_of(std::uint64_t seed) {
  Problem p;
  p.heads = p.kv_heads = 2;
  p.head_dim = 8;
  p.seed = seed;
  return p;
}

/// Q, K and V of 16 queries, two heads of 8 in f32.
constexpr std::size_t kBytes = 3 * 16 * 2 * 8 * 4;

TEST(TensorCache, WhatSharesShapesAndSeedSharesTensors) {
  TensorCache cache;
  const auto mask = empty_mask(16);
  Problem p = problem_of(1);
  const TensorSet* const first = &cache.get(p, mask, cpu());
  p.mask = "another";
  p.pipeline = "rcm";
  p.algorithm = "naive";
  p.tile = "64x64";
  p.scale = 0.5;
  EXPECT_EQ(&cache.get(p, mask, cpu()), first);
  EXPECT_EQ(cache.held(), kBytes);

  const auto differs = [&](const Problem& other, const reorder::Csr& of) {
    return &cache.get(other, of, cpu()) != first;
  };
  EXPECT_TRUE(differs(p, empty_mask(17)));
  EXPECT_TRUE(differs(problem_of(2), mask));
  Problem backward = p;
  backward.pass = "bwd";
  EXPECT_TRUE(differs(backward, mask));
  Problem half = p;
  half.dtype = "f16";
  EXPECT_TRUE(differs(half, mask));
  EXPECT_NE(&cache.get(p, mask, attn::backend("reference")), first);
  EXPECT_EQ(&cache.get(p, mask, cpu()), first) << "kept beside the others";
}

TEST(TensorCache, KeepsTheLastUsedWithinItsLimit) {
  TensorCache cache(2 * kBytes);
  const auto mask = empty_mask(16);
  const auto& inputs = cache.get(problem_of(1), mask, cpu()).inputs;
  (void)cache.get(problem_of(2), mask, cpu());
  EXPECT_EQ(&cache.get(problem_of(1), mask, cpu()).inputs, &inputs);
  (void)cache.get(problem_of(3), mask, cpu());
  EXPECT_EQ(cache.held(), 2 * kBytes);
  EXPECT_EQ(&cache.get(problem_of(1), mask, cpu()).inputs, &inputs) << "2 went, used before 1";

  TensorCache tight(1);
  EXPECT_EQ(tight.get(problem_of(1), mask, cpu()).inputs.q.view.rows(), 16);
  EXPECT_EQ(tight.held(), kBytes) << "what is in use stays whatever the limit";
}

TEST(TensorCache, TensorsAreThoseOfMakeInputs) {
  TensorCache cache;
  const auto mask = empty_mask(16);
  Problem p = problem_of(7);
  p.pass = "both";
  const TensorSet& set = cache.get(p, mask, cpu());
  const Inputs expected = make_inputs(p, mask);
  for (std::int64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(element(set.operands.q.view, 0, 1, i, 3), element(expected.q.view, 0, 1, i, 3));
    EXPECT_EQ(element(set.operands.d_o.view, 0, 1, i, 3), element(expected.d_o.view, 0, 1, i, 3));
  }
}

}  // namespace
}  // namespace experiments

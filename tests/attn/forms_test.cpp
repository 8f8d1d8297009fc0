// SPDX-License-Identifier: Apache-2.0
//
// Split and gathered masks: what they hold, and that attention under them is attention.
#include <gtest/gtest.h>

#include "attn/error.hpp"
#include "attn/errors.hpp"
#include "attn/mask_forms.hpp"
#include "attn/oracle.hpp"

namespace attn::test {
namespace {

constexpr TileShape kTile{16, 8};

/// Noise of about one pair in twelve around 16×16 blocks, with empty rows: what splits.
BoolMask noisy_mask(std::int32_t n_q, std::int32_t n_k, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  return {n_q, n_k, [&](std::int32_t i, std::int32_t j) {
            const bool noise = random() % 12 == 0;
            return i % 19 != 7 && (i / 16 == j / 16 || noise);
          }};
}

struct Case {
  std::string name;
  std::function<std::unique_ptr<Plan>(std::span<const BoolMask> masks, std::int32_t batch,
                                      std::int32_t heads, const PrepareOptions& options)>
      prepare;
};

template <class Mask, class Make>
Mask stacked(std::span<const BoolMask> masks, std::int32_t batch, std::int32_t heads, Make make) {
  std::vector<Mask> made;
  for (const BoolMask& mask : masks) made.push_back(make(Csr(mask).view()));
  return masks.size() == 1 ? made[0] : Mask::stack(made, batch, heads);
}

std::vector<Case> forms() {
  std::vector<Case> all;
  // All tiles dense, some of them, none.
  for (const std::int64_t theta : {1, 12, 1000}) {
    all.push_back({"split at " + std::to_string(theta),
                   [theta](std::span<const BoolMask> masks, std::int32_t batch, std::int32_t heads,
                           const PrepareOptions& options) {
                     return backend("cpu").prepare(stacked<SplitMask>(masks, batch, heads,
                                                                      [&](const CsrPattern& p) {
                                                                        return SplitMask::from_csr(
                                                                            p, kTile, theta, 2);
                                                                      }),
                                                   options);
                   }});
  }
  all.push_back({"gathered", [](std::span<const BoolMask> masks, std::int32_t batch,
                                std::int32_t heads, const PrepareOptions& options) {
                   return backend("cpu").prepare(
                       stacked<GatheredMask>(
                           masks, batch, heads,
                           [](const CsrPattern& p) { return GatheredMask::from_csr(p, kTile, 2); }),
                       options);
                 }});
  return all;
}

void expect_attention(const Inputs& in, const MaskOf& allowed) {
  compare_with_fp64(in, allowed, in.q.view().dtype == DType::f32 ? 1e-5 : 8e-3, 1e-5);
}

class Forms : public ::testing::TestWithParam<Case> {};

TEST_P(Forms, AreAttention) {
  const Problem problems[] = {
      {.batch = 1, .heads = 2, .kv_heads = 2, .head_dim = 64},
      {.batch = 2, .heads = 4, .kv_heads = 2, .head_dim = 24, .seed = 2, .scale = 0.5F},
      {.heads = 1, .kv_heads = 1, .head_dim = 5, .dtype = DType::bf16, .seed = 3},
      {.heads = 1, .kv_heads = 1, .head_dim = 64, .dtype = DType::f16, .seed = 4},
  };
  for (const Problem& problem : problems) {
    for (const auto& [n_q, n_k] : {std::pair{70, 70}, {33, 101}, {100, 13}}) {
      SCOPED_TRACE(std::to_string(n_q) + " x " + std::to_string(n_k) + " seed " +
                   std::to_string(problem.seed));
      const BoolMask mask = noisy_mask(n_q, n_k, problem.seed);
      Inputs in(problem, n_q, n_k);
      GetParam().prepare({&mask, 1}, 1, 1, {.threads = 2})->forward(in.args());
      expect_attention(in, rule_of(mask));
    }
  }
}

TEST_P(Forms, OneMaskForEachBatchElementAndHead) {
  std::vector<BoolMask> masks;
  for (std::uint64_t seed = 0; seed < 4; ++seed) masks.push_back(noisy_mask(40, 52, seed));
  Inputs in({.batch = 2, .heads = 2, .kv_heads = 1, .head_dim = 16}, 40, 52);
  GetParam().prepare(masks, 2, 2, {})->forward(in.args());
  expect_attention(in, [&](std::int64_t b, std::int64_t h, std::int32_t i, std::int32_t j) {
    return masks[static_cast<std::size_t>(b * 2 + h)](i, j);
  });
}

TEST_P(Forms, ReadAndWriteThroughOrders) {
  const BoolMask mask = noisy_mask(50, 60, 9);
  std::vector<std::int32_t> rows(50);
  std::vector<std::int32_t> keys(60);
  for (std::int32_t i = 0; i < 50; ++i) rows[static_cast<std::size_t>(i)] = i * 7 % 50;
  for (std::int32_t j = 0; j < 60; ++j) keys[static_cast<std::size_t>(j)] = j * 7 % 60;
  // The mask as it stands in the tensors' order.
  BoolMask caller(50, 60, [](auto, auto) { return false; });
  for (std::int32_t i = 0; i < 50; ++i) {
    for (std::int32_t j = 0; j < 60; ++j) {
      caller.allowed[caller.index(rows[static_cast<std::size_t>(i)],
                                  keys[static_cast<std::size_t>(j)])] = mask(i, j) ? 1 : 0;
    }
  }
  Inputs in({.heads = 2, .kv_heads = 2, .head_dim = 32}, 50, 60);
  GetParam().prepare({&mask, 1}, 1, 1, {.q_order = rows, .kv_order = keys})->forward(in.args());
  expect_attention(in, [&](auto, auto, std::int32_t i, std::int32_t j) { return caller(i, j); });
}

TEST_P(Forms, WhatIsNotFiniteAtAMaskedKeyStaysOut) {
  constexpr float kBad[] = {std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()};
  const BoolMask mask = noisy_mask(48, 48, 11);
  for (const bool in_v : {false, true}) {
    for (const float bad : kBad) {
      Inputs in({.heads = 1, .kv_heads = 1, .head_dim = 16}, 48, 48);
      // Key 20 is allowed for some rows of each row tile and masked for others.
      Tensor& tensor = in_v ? in.v : in.k;
      tensor.set(tensor.offset(0, 0, 20, 3), bad);
      GetParam().prepare({&mask, 1}, 1, 1, {})->forward(in.args());
      const auto sound = [&](std::int32_t i) { return !mask(i, 20); };
      const auto oracle = attention<double>(in, rule_of(mask));
      for (std::int32_t i = 0; i < 48; ++i) {
        for (std::int64_t d = 0; d < 16; ++d) {
          const auto n = in.o.offset(0, 0, i, d);
          const double expected = oracle.o[static_cast<std::size_t>(n)];
          if (sound(i)) {
            ASSERT_NEAR(in.o.get(n), expected, 1e-5)
                << "row " << i << " masks key 20, " << bad << (in_v ? " in V" : " in K");
          } else if (std::isnan(expected)) {
            EXPECT_TRUE(std::isnan(in.o.get(n))) << "row " << i;
          } else if (std::isinf(expected)) {
            EXPECT_EQ(in.o.get(n), expected) << "row " << i;
          } else {
            EXPECT_NEAR(in.o.get(n), expected, 1e-5) << "row " << i;
          }
        }
      }
    }
  }
}

TEST_P(Forms, NothingAllowed) {
  const BoolMask mask(20, 30, [](auto, auto) { return false; });
  Inputs in({.heads = 1, .kv_heads = 1, .head_dim = 8}, 20, 30);
  GetParam().prepare({&mask, 1}, 1, 1, {})->forward(in.args());
  for (std::int64_t n = 0; n < in.o.view().elements(); ++n) ASSERT_EQ(in.o.get(n), 0);
  for (std::int64_t n = 0; n < 20; ++n) {
    ASSERT_EQ(in.lse.get(n), -std::numeric_limits<float>::infinity());
  }
  const BoolMask empty(0, 0, [](auto, auto) { return false; });
  Inputs none({.heads = 1, .kv_heads = 1, .head_dim = 8}, 0, 0);
  GetParam().prepare({&empty, 1}, 1, 1, {})->forward(none.args());
}

TEST_P(Forms, TheSameBitsOnAnyNumberOfThreads) {
  const BoolMask mask = noisy_mask(120, 120, 5);
  std::vector<float> first;
  for (const int threads : {1, 2, 8}) {
    Inputs in({.heads = 2, .kv_heads = 2, .head_dim = 32}, 120, 120);
    GetParam().prepare({&mask, 1}, 1, 1, {.threads = threads})->forward(in.args());
    std::vector<float> values;
    for (std::int64_t n = 0; n < in.o.view().elements(); ++n) values.push_back(in.o.get(n));
    if (threads == 1) first = values;
    EXPECT_EQ(values, first) << threads << " threads";
  }
}

TEST_P(Forms, HaveNoBackwardPassAndSaySo) {
  const BoolMask mask = noisy_mask(16, 16, 1);
  expect_error(ErrorCode::unsupported, "have no backward pass", [&] {
    (void)GetParam().prepare({&mask, 1}, 1, 1, {.backward = true});
  });
  const auto plan = GetParam().prepare({&mask, 1}, 1, 1, {});
  expect_error(ErrorCode::unsupported, "prepare a BlockMask", [&] { plan->backward({}); });
  expect_error(ErrorCode::unsupported, "prepare a BlockMask",
               [&] { (void)plan->backward_workspace({}); });
}

INSTANTIATE_TEST_SUITE_P(Cpu, Forms, ::testing::ValuesIn(forms()), [](const auto& test) {
  std::string name = test.param.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

TEST(SplitMask, KeepsTilesAtThetaAndLeavesTheRest) {
  // Tiles of 8 x 8: 64 pairs, 3 pairs, none, 1 pair.
  const BoolMask mask(16, 16, [](std::int32_t i, std::int32_t j) {
    return (i < 8 && j < 8) || (i == 2 && j >= 13) || (i == 15 && j == 9);
  });
  const Csr csr(mask);
  const auto split = [&](std::int64_t theta) {
    return SplitMask::from_csr(csr.view(), {8, 8}, theta);
  };
  EXPECT_EQ(split(1).residual_count(), 0);
  EXPECT_EQ(split(1).tiles().full_count() + split(1).tiles().partial_count(), 3);
  EXPECT_EQ(split(3).residual_count(), 1);
  EXPECT_EQ(split(3).residual().cols[0], 9);
  EXPECT_EQ(split(4).residual_count(), 4);
  EXPECT_EQ(split(4).tiles().full_count(), 1);
  EXPECT_EQ(split(4).tiles().partial_count(), 0);
  EXPECT_EQ(split(65).residual_count(), 68);
}

TEST(GatheredMask, PutsTheKeysOfARowTileSideBySide) {
  // Row tile 0 sees keys 3, 40 and 63; row tile 1 none; row tile 2, of one row, key 0.
  const BoolMask mask(17, 64, [](std::int32_t i, std::int32_t j) {
    if (i < 8) return j == 63 || (i == 1 && j == 3) || (i == 6 && j == 40);
    return i == 16 && j == 0;
  });
  const Csr csr(mask);
  const GatheredMask gathered = GatheredMask::from_csr(csr.view(), {8, 8});
  const auto keys = [&](std::int64_t t) {
    const auto span = gathered.keys(0, 0, t);
    return std::vector<std::int32_t>(span.begin(), span.end());
  };
  EXPECT_EQ(keys(0), (std::vector<std::int32_t>{3, 40, 63}));
  EXPECT_EQ(keys(1), std::vector<std::int32_t>{});
  EXPECT_EQ(keys(2), std::vector<std::int32_t>{0});
  EXPECT_EQ(gathered.tiles().full_count() + gathered.tiles().partial_count(), 2);
}

TEST(MaskForms, RefuseWhatIsNoMask) {
  const std::vector<std::int64_t> offsets{0, 2};
  const std::vector<std::int32_t> descending{5, 3};
  const CsrPattern bad{1, 8, offsets, descending};
  expect_error(ErrorCode::invalid_mask, "increase strictly", [&] {
    (void)SplitMask::from_csr(bad, {8, 8}, 2);
  });
  expect_error(ErrorCode::invalid_mask, "increase strictly", [&] {
    (void)GatheredMask::from_csr(bad, {8, 8});
  });
  const std::vector<std::int32_t> cols{3, 5};
  const CsrPattern good{1, 8, offsets, cols};
  expect_error(ErrorCode::invalid_argument, "theta is 0", [&] {
    (void)SplitMask::from_csr(good, {8, 8}, 0);
  });
  expect_error(ErrorCode::invalid_argument, "is not allowed", [&] {
    (void)SplitMask::from_csr(good, {8, 9}, 1);
  });
  expect_error(ErrorCode::invalid_argument, "is not allowed", [&] {
    (void)GatheredMask::from_csr(good, {8, 9});
  });
  expect_error(ErrorCode::unsupported, "backend reference does not run split masks", [&] {
    (void)backend("reference").prepare(SplitMask::from_csr(good, {8, 8}, 1));
  });
  expect_error(ErrorCode::unsupported, "does not run gathered masks", [&] {
    (void)backend("reference").prepare(GatheredMask::from_csr(good, {8, 8}));
  });
}

}  // namespace
}  // namespace attn::test

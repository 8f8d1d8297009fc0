// SPDX-License-Identifier: Apache-2.0
//
// The promises about empty rows and non-finite numbers, each with the case planted.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "attn/oracle.hpp"

namespace attn::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

class Semantics : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Host, Semantics, testing::ValuesIn(host_backends()),
                         [](const auto& test) { return test.param; });

/// Runs and compares with the definition: the same rows are NaN or infinite, the others agree.
void check(const std::string& backend, const Inputs& in, const BoolMask& mask, TileShape tile) {
  forward(in.args(), mask.tiled(tile), backend, {.threads = 2});
  compare_with_fp64(in, rule_of(mask));
}

TEST_P(Semantics, ARowWithoutKeysGivesZeroAndMinusInfinity) {
  // Row 3 is empty inside a visited tile; rows 16..23 are an empty row tile; row 30 is empty inside
  // a tile that is full but for it.
  const BoolMask mask(40, 40, [](int i, int j) {
    if (i == 3 || i / 8 == 2 || i == 30) return false;
    return i < 16 ? (i + j) % 3 == 0 : true;
  });
  const Inputs in({.heads = 2, .head_dim = 24}, 40, 40);
  forward(in.args(), mask.tiled({8, 8}), GetParam());
  for (std::int64_t h = 0; h < 2; ++h) {
    for (std::int32_t i = 0; i < 40; ++i) {
      const bool empty = i == 3 || i / 8 == 2 || i == 30;
      const float lse = in.lse.get(in.lse.offset(0, h, i, 0));
      EXPECT_EQ(lse == -kInf, empty) << "query " << i << ": LSE " << lse;
      for (std::int64_t d = 0; d < 24; ++d) {
        const float value = in.o.get(in.o.offset(0, h, i, d));
        EXPECT_EQ(value == 0.0f, empty) << "query " << i << ", d " << d << ": " << value;
      }
    }
  }
}

/// Plants `bad` in K or V at one key and asks which queries it reaches.
void check_containment(const std::string& backend, bool in_k, float bad, DType dtype) {
  SCOPED_TRACE(backend + (in_k ? ", K = " : ", V = ") + std::to_string(bad) + ", " +
               std::string(to_string(dtype)));
  // One tile of 64 x 64, and a full one beside it. Key 21 is allowed for query 5 alone; key 70 lies
  // in the full tile, key 30 is masked for every query.
  const BoolMask mask(64, 128, [](int i, int j) {
    if (j == 21) return i == 5;
    if (j == 30) return false;
    return j >= 64 || (i + j) % 2 == 0;
  });
  for (const std::int32_t key : {21, 30}) {
    Inputs in({.head_dim = 40, .dtype = dtype, .seed = 3}, 64, 128);
    Tensor& target = in_k ? in.k : in.v;
    for (std::int64_t d = 0; d < 40; d += 3) target.set(target.offset(0, 0, key, d), bad);
    check(backend, in, mask, {64, 64});
    const bool reaches_one = key == 21;
    for (const std::int64_t row : unsound_rows(in.o)) {
      EXPECT_TRUE(reaches_one && row == 5) << "key " << key << " reached query " << row;
    }
  }
}

TEST_P(Semantics, NaNOrInfAtAMaskedKeyStaysThere) {
  for (const bool in_k : {true, false}) {
    for (const float bad : {kNaN, kInf, -kInf}) {
      for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
        check_containment(GetParam(), in_k, bad, dtype);
      }
    }
  }
}

TEST_P(Semantics, NaNAtAnAllowedKeyReachesThatQuery) {
  const BoolMask mask(64, 128, [](int i, int j) { return j != 21 || i == 5; });
  for (const bool in_k : {true, false}) {
    Inputs in({.head_dim = 16, .seed = 4}, 64, 128);
    Tensor& target = in_k ? in.k : in.v;
    target.set(target.offset(0, 0, 21, 7), kNaN);
    forward(in.args(), mask.tiled({64, 64}), GetParam());
    EXPECT_EQ(unsound_rows(in.o), (std::vector<std::int64_t>{5})) << (in_k ? "K" : "V");
    EXPECT_EQ(std::isnan(in.lse.get(5)), in_k);
  }
}

TEST_P(Semantics, NonFiniteValuesInAFullTileReachAllItsQueriesAndNoOthers) {
  const BoolMask mask(32, 32, [](int i, int j) { return i / 16 == j / 16; });
  Inputs in({.head_dim = 8, .seed = 5}, 32, 32);
  in.v.set(in.v.offset(0, 0, 20, 0), kNaN);
  check(GetParam(), in, mask, {16, 16});
  const auto rows = unsound_rows(in.o);
  EXPECT_EQ(rows.size(), 16u);
  EXPECT_EQ(rows.front(), 16);
}

TEST_P(Semantics, ABadQueryHarmsItselfAlone) {
  const BoolMask mask = random_mask(48, 48, 8);
  Inputs in({.head_dim = 16, .seed = 6}, 48, 48);
  in.q.set(in.q.offset(0, 0, 9, 2), kNaN);
  check(GetParam(), in, mask, {16, 16});
  for (const std::int64_t row : unsound_rows(in.o)) EXPECT_EQ(row, 9);
}

TEST_P(Semantics, RubbishInEveryMaskedKeyAtOnce) {
  // Keys 0, 3, 6, … are allowed by no query and hold NaN and Inf in both K and V.
  const BoolMask mask(50, 70, [](int i, int j) { return j % 3 != 0 && (i * j) % 5 != 1; });
  Inputs in({.heads = 2, .head_dim = 33, .seed = 7}, 50, 70);
  for (std::int64_t h = 0; h < in.k.view().heads(); ++h) {
    for (std::int64_t j = 0; j < 70; j += 3) {
      for (std::int64_t d = 0; d < 33; ++d) {
        in.k.set(in.k.offset(0, h, j, d), d % 2 == 0 ? kNaN : kInf);
        in.v.set(in.v.offset(0, h, j, d), d % 2 == 0 ? -kInf : kNaN);
      }
    }
  }
  check(GetParam(), in, mask, {16, 24});
  EXPECT_TRUE(unsound_rows(in.o).empty());
}

TEST_P(Semantics, ValuesWhoseSumOverflowsAreAveragedAllTheSame) {
  // 40 keys of 3e38 each: their weighted sum passes the float range before it is divided.
  const BoolMask ones(8, 40, [](int, int) { return true; });
  Inputs in({.head_dim = 8, .seed = 8, .scale = 0.0f}, 8, 40);
  for (std::int64_t n = 0; n < in.v.view().elements(); ++n) in.v.set(n, 3e38f);
  forward(in.args(), ones.tiled({8, 8}), GetParam());
  for (std::int64_t n = 0; n < in.o.view().elements(); ++n) {
    EXPECT_NEAR(in.o.get(n) / 3e38f, 1.0f, 1e-6) << n;
  }
}

TEST_P(Semantics, OneZeroInAFullTileIsHonoured) {
  for (const std::int32_t edge : {64, 128, 256}) {
    // The masked key has a huge value: missing one zero of edge² would show.
    const BoolMask mask(edge, edge, [&](int i, int j) { return i != 1 || j != edge - 1; });
    Inputs in({.head_dim = 8, .seed = 9, .scale = 0.0f}, edge, edge);
    for (std::int64_t d = 0; d < 8; ++d) in.v.set(in.v.offset(0, 0, edge - 1, d), 1e6f);
    check(GetParam(), in, mask, {edge, edge});
    EXPECT_LT(std::abs(in.o.get(in.o.offset(0, 0, 1, 0))), 10.0f);
    EXPECT_GT(in.o.get(in.o.offset(0, 0, 0, 0)), 1000.0f);
  }
}

TEST_P(Semantics, GapsBetweenFullTilesAreSkipped) {
  const BoolMask mask(32, 96, [](int, int j) { return j / 16 == 0 || j / 16 == 3 || j / 16 == 5; });
  Inputs in({.head_dim = 8, .seed = 10}, 32, 96);
  check(GetParam(), in, mask, {16, 16});
}

TEST_P(Semantics, TheSameInputsTwiceGiveTheSameBits) {
  const BoolMask mask = random_mask(130, 140, 12);
  const BlockMask tiled = mask.tiled({32, 32});
  const Inputs first({.heads = 3, .head_dim = 40, .seed = 12}, 130, 140);
  const Inputs second({.heads = 3, .head_dim = 40, .seed = 12}, 130, 140);
  forward(first.args(), tiled, GetParam(), {.threads = 1});
  forward(second.args(), tiled, GetParam(), {.threads = 3});
  for (std::int64_t n = 0; n < first.o.view().elements(); ++n) {
    ASSERT_EQ(first.o.get(n), second.o.get(n)) << n;
  }
}

}  // namespace
}  // namespace attn::test

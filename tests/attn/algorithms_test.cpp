// SPDX-License-Identifier: Apache-2.0
//
// Every algorithm gives the same answer: they differ in what they read of the mask.
#include <gtest/gtest.h>

#include <limits>

#include "attn/error.hpp"
#include "attn/gradients.hpp"

namespace attn::test {
namespace {

class Algorithms : public testing::TestWithParam<Algorithm> {
 protected:
  void check(const Inputs& in, const BlockMask& mask, const MaskOf& rule) const {
    backend("cpu").prepare(mask, {.threads = 2, .algorithm = GetParam()})->forward(in.args());
    compare_with_fp64(in, rule);
  }
  void check(const Problem& problem, const BoolMask& mask, TileShape tile) const {
    SCOPED_TRACE("seed " + std::to_string(problem.seed) + ", " + std::to_string(mask.n_q) + "x" +
                 std::to_string(mask.n_k));
    check(Inputs(problem, mask.n_q, mask.n_k), mask.tiled(tile), rule_of(mask));
  }
};
INSTANTIATE_TEST_SUITE_P(Cpu, Algorithms,
                         testing::Values(Algorithm::lists, Algorithm::naive, Algorithm::bbm,
                                         Algorithm::dense_bbm),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST_P(Algorithms, RandomMasksWithEmptyAndFullTiles) {
  std::mt19937_64 random(3);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto n_q = static_cast<std::int32_t>(1 + random() % 100);
    const auto n_k = static_cast<std::int32_t>(1 + random() % 200);
    std::vector<int> kinds(200);  // of each tile: empty, full, random
    for (int& kind : kinds) kind = static_cast<int>(random() % 3);
    const BoolMask mask(n_q, n_k, [&](int i, int j) {
      const int kind = kinds[static_cast<std::size_t>(i / 16 * 13 + j / 16)];
      return kind == 2 ? random() % 3 == 0 : kind == 1;
    });
    check({.heads = 2, .kv_heads = 1, .head_dim = 24, .seed = seed}, mask, {16, 16});
  }
}

TEST_P(Algorithms, AGapBetweenFullTilesIsSeen) {
  // Key tiles 0 and 2 are full, tile 1 has a hole. Who only counts the full tiles, two from the
  // first on, runs tile 1 unmasked.
  check({.head_dim = 8}, {8, 24, [](int i, int j) { return j / 8 != 1 || (i + j) % 2 == 0; }},
        {8, 8});
}

TEST_P(Algorithms, AHoleInOneOfManyElementsIsSeen) {
  check({.head_dim = 8}, {64, 64, [](int i, int j) { return i != 40 || j != 13; }}, {64, 64});
}

TEST_P(Algorithms, MasksOfEachHead) {
  const BoolMask first(40, 40, [](int i, int j) { return j <= i; });
  const BoolMask second(40, 40, [](int i, int j) { return j / 8 == i / 8; });
  const std::vector<BlockMask> masks = {first.tiled({8, 8}), second.tiled({8, 8})};
  check(Inputs({.batch = 2, .heads = 2, .kv_heads = 2, .head_dim = 16}, 40, 40),
        BlockMask::stack(masks, 1, 2), [&](auto, std::int64_t h, std::int32_t i, std::int32_t j) {
          return (h == 0 ? first : second)(i, j);
        });
}

TEST_P(Algorithms, ANaNAtAMaskedKeyStaysThere) {
  const BoolMask mask(20, 40, [](int i, int j) { return j % 20 <= i && j != 3; });
  Inputs in({.head_dim = 8}, 20, 40);
  for (std::int64_t d = 0; d < 8; ++d) {
    in.k.set(in.k.offset(0, 0, 3, d), std::numeric_limits<float>::quiet_NaN());
    in.v.set(in.v.offset(0, 0, 3, d), std::numeric_limits<float>::infinity());
  }
  check(in, mask.tiled({8, 8}), rule_of(mask));
}

TEST_P(Algorithms, GradientsToo) {
  const PrepareOptions options{.threads = 2, .algorithm = GetParam()};
  for (const auto& [name, mask] : planted_masks(70)) {
    SCOPED_TRACE(name);
    check_gradients(on_host("cpu"), {.heads = 2, .kv_heads = 1, .head_dim = 8}, mask, {16, 16},
                    options);
  }
}

TEST_P(Algorithms, GradientsWithOrders) {
  check_gradient_orders(on_host("cpu"), {.heads = 2, .kv_heads = 1, .head_dim = 8, .seed = 4},
                        random_mask(70, 90, 4), {16, 16}, {.threads = 2, .algorithm = GetParam()});
}

TEST(Algorithm, GradientsOfADenseMask) {
  check_gradients(on_host("cpu"), {.head_dim = 16}, {30, 50, [](int, int) { return true; }},
                  {16, 16}, {.algorithm = Algorithm::dense});
}

TEST(Algorithm, DenseTakesOnlyMasksThatAllowAll) {
  const BoolMask all(30, 50, [](int, int) { return true; });
  const Inputs lists({.head_dim = 16}, 30, 50);
  const Inputs dense({.head_dim = 16}, 30, 50);
  const BlockMask mask = all.tiled({16, 16});
  backend("cpu").prepare(mask)->forward(lists.args());
  backend("cpu").prepare(mask, {.algorithm = Algorithm::dense})->forward(dense.args());
  for (std::int64_t n = 0; n < dense.o.view().elements(); ++n) {
    ASSERT_EQ(dense.o.get(n), lists.o.get(n)) << n;
  }
  const BoolMask hole(30, 50, [](int i, int j) { return i != 29 || j != 49; });
  try {
    (void)backend("cpu").prepare(hole.tiled({16, 16}), {.algorithm = Algorithm::dense});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_STREQ(error.what(),
                 "the algorithm dense looks at no mask, but only 7 of the mask's 8 tiles are full");
  }
}

TEST(Algorithm, Names) {
  for (const char* name : {"lists", "dense", "naive", "bbm", "dense_bbm"}) {
    EXPECT_EQ(to_string(parse_algorithm(name)), name);
  }
  try {
    (void)parse_algorithm("flash");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "no algorithm is named 'flash'; there are lists, dense, naive, bbm, dense_bbm");
  }
}

}  // namespace
}  // namespace attn::test

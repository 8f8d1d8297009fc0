// SPDX-License-Identifier: Apache-2.0
//
// The cpu backend on every instruction set that this processor has, not only the best one.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <limits>

#include "attn/gradients.hpp"
#include "cpu/kernels.hpp"

namespace attn::test {
namespace {

class InstructionSet : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override {
    use(GetParam());
    ASSERT_STREQ(cpu::kernels().target, hwy::TargetName(GetParam()));
  }
  void TearDown() override { use(0); }

 private:
  static void use(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};
INSTANTIATE_TEST_SUITE_P(Here, InstructionSet,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& test) { return std::string(hwy::TargetName(test.param)); });

void check(const Inputs& in, const BoolMask& mask, TileShape tile) {
  forward(in.args(), mask.tiled(tile), "cpu");
  compare_with_fp64(in, rule_of(mask));
}

TEST_P(InstructionSet, AgreesWithFp64) {
  std::uint64_t seed = 300;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t head_dim : {1, 8, 40, 64, 96, 128}) {
      for (const TileShape tile : {TileShape{8, 8}, {64, 40}, {128, 128}}) {
        SCOPED_TRACE(std::string(to_string(dtype)) + ", head_dim " + std::to_string(head_dim) +
                     ", tile " + to_string(tile) + ", seed " + std::to_string(seed));
        check(Inputs({.head_dim = head_dim, .dtype = dtype, .seed = seed}, 45, 141),
              random_mask(45, 141, seed), tile);
        ++seed;
      }
    }
  }
}

TEST_P(InstructionSet, GradientsAgreeWithFp64) {
  std::uint64_t seed = 400;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t head_dim : {1, 40, 64}) {
      for (const TileShape tile : {TileShape{8, 8}, {64, 40}, {128, 128}}) {
        check_gradients(on_host("cpu"), {.head_dim = head_dim, .dtype = dtype, .seed = seed},
                        random_mask(45, 91, seed), tile);
        ++seed;
      }
    }
  }
}

TEST_P(InstructionSet, GradientsKeepNaNWhereItIs) {
  check_gradient_containment(on_host("cpu"), {.head_dim = 24, .seed = 2},
                             std::numeric_limits<float>::quiet_NaN(), {16, 24});
}

TEST_P(InstructionSet, KeepsNaNWhereItIs) {
  const float bad = std::numeric_limits<float>::quiet_NaN();
  const BoolMask mask(40, 60, [](int i, int j) { return j != 21 || i == 5; });
  for (const bool in_k : {true, false}) {
    Inputs in({.head_dim = 24, .seed = 2}, 40, 60);
    Tensor& target = in_k ? in.k : in.v;
    target.set(target.offset(0, 0, 21, 3), bad);
    check(in, mask, {16, 32});
    EXPECT_EQ(unsound_rows(in.o), (std::vector<std::int64_t>{5}));
  }
}

TEST_P(InstructionSet, RoundsResultsToNearestEven) {
  // Two keys of equal weight whose values are neighbours in the narrow format: their mean lies in
  // the middle between them and goes to the even one.
  const BoolMask ones(1, 2, [](int, int) { return true; });
  const BlockMask tiled = ones.tiled({8, 8});
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const auto widen = [&](int bits) {
      const auto pattern = static_cast<std::uint16_t>(bits);
      return dtype == DType::f16 ? half_to_float(pattern) : bfloat16_to_float(pattern);
    };
    Inputs in({.head_dim = 256, .dtype = dtype, .scale = 0.0f}, 1, 2);
    for (int page = 0; page < 256; ++page) {
      for (int d = 0; d < 256; ++d) {
        const int bits = page * 256 + d;
        const bool usable = std::isfinite(widen(bits)) && std::isfinite(widen(bits + 1));
        in.v.set(in.v.offset(0, 0, 0, d), usable ? widen(bits) : 0.0f);
        in.v.set(in.v.offset(0, 0, 1, d), usable ? widen(bits + 1) : 0.0f);
      }
      forward(in.args(), tiled, "cpu");
      for (int d = 0; d < 256; ++d) {
        const int bits = page * 256 + d;
        if (!std::isfinite(widen(bits)) || !std::isfinite(widen(bits + 1))) continue;
        ASSERT_EQ(in.o.get(d), widen(bits + bits % 2)) << to_string(dtype) << " pattern " << bits;
      }
    }
  }
}

}  // namespace
}  // namespace attn::test

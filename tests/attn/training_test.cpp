// SPDX-License-Identifier: Apache-2.0
#include "attn/training.hpp"

namespace attn::test {
namespace {

TEST(Training, GoesTheSameWayInANewOrder) {
  // From a rate of about 0.05 on this training is chaotic: a nudge of 1e-6 grows to several
  // percent.
  check_training({.backend = backend("cpu"),
                  .dtype = DType::f32,
                  .tokens = 64,
                  .heads = 2,
                  .head_dim = 8,
                  .steps = 200,
                  .rate = 0.02f,
                  .remains = 0.25},
                 {8, 8}, 1e-5);
}

}  // namespace
}  // namespace attn::test

// SPDX-License-Identifier: Apache-2.0
//
// A toy model of two attention layers, trained with its mask in the natural order and with the mask
// reordered and the orders in the plan: the loss must go down, and by the same curve.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "attn/support.hpp"

namespace attn::test {
namespace {

constexpr std::int32_t kTokens = 64;
constexpr std::int64_t kHeads = 2;
constexpr std::int64_t kHeadDim = 8;
constexpr std::int64_t kWidth = kHeads * kHeadDim;
constexpr int kSteps = 200;

using Floats = std::vector<float>;

/// Row-major products of small matrices: out += op(a) · op(b), [rows, inner] · [inner, cols].
enum class Op { plain, transposed };
void multiply_add(const Floats& a, Op op_a, const Floats& b, Op op_b, std::int64_t rows,
                  std::int64_t inner, std::int64_t cols, Floats& out) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t k = 0; k < inner; ++k) {
      const float factor =
          a[static_cast<std::size_t>(op_a == Op::plain ? r * inner + k : k * rows + r)];
      for (std::int64_t c = 0; c < cols; ++c) {
        out[static_cast<std::size_t>(r * cols + c)] +=
            factor * b[static_cast<std::size_t>(op_b == Op::plain ? k * cols + c : c * inner + k)];
      }
    }
  }
}

/// X + attention(X Wq, X Wk, X Wv) Wo, heads side by side in a row of X.
class Layer {
 public:
  Layer(const Plan& plan, std::mt19937& random) : plan_(plan) {
    std::normal_distribution<float> normal(0.0f, 1.0f / std::sqrt(static_cast<float>(kWidth)));
    for (Floats& weights : weights_) {
      weights.resize(static_cast<std::size_t>(kWidth * kWidth));
      for (float& weight : weights) weight = normal(random);
    }
    gradients_ = weights_;
  }

  Floats forward(const Floats& x) {
    x_ = x;
    for (std::size_t n = 0; n < 3; ++n) {
      qkv_[n].assign(x.size(), 0.0f);
      multiply_add(x, Op::plain, weights_[n], Op::plain, kTokens, kWidth, kWidth, qkv_[n]);
    }
    o_.assign(x.size(), 0.0f);
    lse_.assign(static_cast<std::size_t>(kHeads * kTokens), 0.0f);
    plan_.forward({.q = view(qkv_[0]),
                   .k = view(qkv_[1]),
                   .v = view(qkv_[2]),
                   .o = view(o_),
                   .lse = lse_view(),
                   .scale = {}});
    Floats y = x;
    multiply_add(o_, Op::plain, weights_[3], Op::plain, kTokens, kWidth, kWidth, y);
    return y;
  }

  /// From dY to dX; keeps the gradients of the weights.
  Floats backward(const Floats& dy) {
    for (Floats& gradient : gradients_) std::fill(gradient.begin(), gradient.end(), 0.0f);
    multiply_add(o_, Op::transposed, dy, Op::plain, kWidth, kTokens, kWidth, gradients_[3]);
    Floats d_o(dy.size(), 0.0f);
    multiply_add(dy, Op::plain, weights_[3], Op::transposed, kTokens, kWidth, kWidth, d_o);

    Floats d_qkv[3] = {Floats(dy.size()), Floats(dy.size()), Floats(dy.size())};
    BackwardArgs args{.q = view(qkv_[0]),
                      .k = view(qkv_[1]),
                      .v = view(qkv_[2]),
                      .o = view(o_),
                      .d_o = view(d_o),
                      .lse = lse_view(),
                      .dq = view(d_qkv[0]),
                      .dk = view(d_qkv[1]),
                      .dv = view(d_qkv[2]),
                      .scale = {}};
    args.workspace_bytes = plan_.backward_workspace(args);
    const Buffer workspace = backend("cpu").allocate(args.workspace_bytes);
    args.workspace = workspace.get();
    plan_.backward(args);

    Floats dx = dy;
    for (std::size_t n = 0; n < 3; ++n) {
      multiply_add(x_, Op::transposed, d_qkv[n], Op::plain, kWidth, kTokens, kWidth, gradients_[n]);
      multiply_add(d_qkv[n], Op::plain, weights_[n], Op::transposed, kTokens, kWidth, kWidth, dx);
    }
    return dx;
  }

  void step(float rate) {
    for (std::size_t n = 0; n < 4; ++n) {
      for (std::size_t i = 0; i < weights_[n].size(); ++i) {
        weights_[n][i] -= rate * gradients_[n][i];
      }
    }
  }

 private:
  /// [tokens, heads, head_dim] in memory.
  static TensorView view(Floats& rows) {
    return {rows.data(),
            DType::f32,
            {1, kHeads, kTokens, kHeadDim},
            {kTokens * kWidth, kHeadDim, kWidth, 1}};
  }
  TensorView lse_view() { return contiguous(lse_.data(), DType::f32, {1, kHeads, kTokens, 1}); }

  const Plan& plan_;
  std::array<Floats, 4> weights_, gradients_;
  Floats x_, qkv_[3], o_, lse_;
};

/// The losses of training on fixed tokens towards fixed targets, by gradient descent.
std::vector<double> losses(const Plan& plan) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::array layers{Layer(plan, random), Layer(plan, random)};
  Floats tokens(static_cast<std::size_t>(kTokens * kWidth));
  Floats targets(tokens.size());
  for (float& value : tokens) value = normal(random);
  for (float& value : targets) value = normal(random);

  std::vector<double> curve;
  for (int step = 0; step < kSteps; ++step) {
    const Floats y = layers[1].forward(layers[0].forward(tokens));
    Floats dy(y.size());
    double loss = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const float error = y[i] - targets[i];
      loss += 0.5 * double{error} * double{error} / kTokens;
      dy[i] = error / kTokens;
    }
    curve.push_back(loss);
    layers[0].backward(layers[1].backward(dy));
    // From about 0.05 on this training is chaotic: a nudge of 1e-6 grows to several percent.
    for (Layer& layer : layers) layer.step(0.02f);
  }
  return curve;
}

/// Four documents of 16 tokens, causal, whose tokens take turns.
std::int32_t document(std::int32_t token) {
  return token % 4;
}
bool allowed(std::int32_t i, std::int32_t j) {
  return j <= i && document(i) == document(j);
}

TEST(Training, GoesTheSameWayInANewOrder) {
  std::vector<std::int32_t> order(kTokens);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [](std::int32_t a, std::int32_t b) { return document(a) < document(b); });
  const BoolMask natural(kTokens, kTokens, allowed);
  const BoolMask packed(kTokens, kTokens, [&](std::int32_t i, std::int32_t j) {
    return allowed(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
  });
  const BlockMask natural_mask = natural.tiled({8, 8});
  const BlockMask packed_mask = packed.tiled({8, 8});
  ASSERT_LT(packed_mask.full_count() + packed_mask.partial_count(),
            (natural_mask.full_count() + natural_mask.partial_count()) / 2)
      << "the order must matter";

  const auto plan = [](const BlockMask& mask, std::span<const std::int32_t> new_to_old) {
    return backend("cpu").prepare(
        mask, {.threads = 2, .q_order = new_to_old, .kv_order = new_to_old, .backward = true});
  };
  const auto in_natural = losses(*plan(natural_mask, {}));
  const auto in_packed = losses(*plan(packed_mask, order));
  EXPECT_LT(in_natural.back(), 0.25 * in_natural.front()) << "nothing was learnt";
  for (std::size_t step = 0; step < in_natural.size(); ++step) {
    ASSERT_NEAR(in_packed[step], in_natural[step], 1e-5 * in_natural[step]) << "step " << step;
  }
}

}  // namespace
}  // namespace attn::test

// SPDX-License-Identifier: Apache-2.0
//
// A toy model of two attention layers, trained with its mask in the natural order and with the mask
// reordered and the orders in the plan: the loss must go down, and by the same curve. Attention
// runs on any backend; the rest is plain loops.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "attn/support.hpp"

namespace attn::test {

using Floats = std::vector<float>;

struct ToyModel {
  const Backend& backend;
  DType dtype;  ///< of the attention's tensors
  std::int32_t tokens;
  std::int64_t heads, head_dim;
  int steps;
  float rate;
  double remains;  ///< of the first loss, at most, in the last

  [[nodiscard]] std::int64_t width() const { return heads * head_dim; }
};

/// [tokens, heads, head_dim] in memory of a model's backend, in its dtype.
class ToyTensor {
 public:
  ToyTensor(const ToyModel& model, const Floats& values)
      : model_(model),
        host_({1, model.tokens, model.heads, model.head_dim}, model.dtype),
        memory_(model.backend.allocate(bytes())) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      host_.set(static_cast<std::int64_t>(i), values[i]);
    }
    model.backend.copy_in(memory_.get(), host_.view().data, bytes());
  }
  [[nodiscard]] TensorView view() const {
    const std::int64_t width = model_.width();
    return {memory_.get(),
            model_.dtype,
            {1, model_.heads, model_.tokens, model_.head_dim},
            {model_.tokens * width, model_.head_dim, width, 1}};
  }
  [[nodiscard]] Floats values() const {
    model_.backend.copy_out(host_.view().data, memory_.get(), bytes());
    Floats values(static_cast<std::size_t>(host_.view().elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(host_.get(static_cast<std::int64_t>(i)));
    }
    return values;
  }

 private:
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(host_.view().elements()) * size_of(model_.dtype);
  }
  const ToyModel& model_;
  Tensor host_;
  Buffer memory_;
};

/// Row-major products of small matrices: out += op(a) · op(b), [rows, inner] · [inner, cols].
enum class Op { plain, transposed };
inline void multiply_add(const Floats& a, Op op_a, const Floats& b, Op op_b, std::int64_t rows,
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
class ToyLayer {
 public:
  ToyLayer(const ToyModel& model, const Plan& plan, std::mt19937& random)
      : model_(model),
        plan_(plan),
        lse_(model.backend.allocate(static_cast<std::size_t>(model.heads * model.tokens) * 4)) {
    const std::int64_t width = model.width();
    std::normal_distribution<float> normal(0.0f, 1.0f / std::sqrt(static_cast<float>(width)));
    for (Floats& weights : weights_) {
      weights.resize(static_cast<std::size_t>(width * width));
      for (float& weight : weights) weight = normal(random);
    }
    gradients_ = weights_;
  }

  Floats forward(const Floats& x) {
    const std::int64_t width = model_.width();
    x_ = x;
    qkvo_.clear();
    for (std::size_t n = 0; n < 3; ++n) {
      Floats y(x.size(), 0.0f);
      multiply_add(x, Op::plain, weights_[n], Op::plain, model_.tokens, width, width, y);
      qkvo_.emplace_back(model_, y);
    }
    qkvo_.emplace_back(model_, Floats(x.size(), 0.0f));
    plan_.forward({.q = qkvo_[0].view(),
                   .k = qkvo_[1].view(),
                   .v = qkvo_[2].view(),
                   .o = qkvo_[3].view(),
                   .lse = lse_view(),
                   .scale = {}});
    o_ = qkvo_[3].values();
    Floats y = x;
    multiply_add(o_, Op::plain, weights_[3], Op::plain, model_.tokens, width, width, y);
    return y;
  }

  /// From dY to dX; keeps the gradients of the weights.
  Floats backward(const Floats& dy) {
    const std::int64_t width = model_.width();
    const std::int64_t tokens = model_.tokens;
    for (Floats& gradient : gradients_) std::fill(gradient.begin(), gradient.end(), 0.0f);
    multiply_add(o_, Op::transposed, dy, Op::plain, width, tokens, width, gradients_[3]);
    Floats d_o(dy.size(), 0.0f);
    multiply_add(dy, Op::plain, weights_[3], Op::transposed, tokens, width, width, d_o);

    const ToyTensor d_o_there(model_, d_o);
    const Floats zeros(dy.size(), 0.0f);
    const ToyTensor d_qkv[3] = {{model_, zeros}, {model_, zeros}, {model_, zeros}};
    BackwardArgs args{.q = qkvo_[0].view(),
                      .k = qkvo_[1].view(),
                      .v = qkvo_[2].view(),
                      .o = qkvo_[3].view(),
                      .d_o = d_o_there.view(),
                      .lse = lse_view(),
                      .dq = d_qkv[0].view(),
                      .dk = d_qkv[1].view(),
                      .dv = d_qkv[2].view(),
                      .scale = {}};
    args.workspace_bytes = plan_.backward_workspace(args);
    const Buffer workspace = model_.backend.allocate(args.workspace_bytes);
    args.workspace = workspace.get();
    plan_.backward(args);

    Floats dx = dy;
    for (std::size_t n = 0; n < 3; ++n) {
      const Floats d = d_qkv[n].values();
      multiply_add(x_, Op::transposed, d, Op::plain, width, tokens, width, gradients_[n]);
      multiply_add(d, Op::plain, weights_[n], Op::transposed, tokens, width, width, dx);
    }
    return dx;
  }

  void step() {
    for (std::size_t n = 0; n < 4; ++n) {
      for (std::size_t i = 0; i < weights_[n].size(); ++i) {
        weights_[n][i] -= model_.rate * gradients_[n][i];
      }
    }
  }

 private:
  [[nodiscard]] TensorView lse_view() const {
    return contiguous(lse_.get(), DType::f32, {1, model_.heads, model_.tokens, 1});
  }

  const ToyModel& model_;
  const Plan& plan_;
  std::array<Floats, 4> weights_, gradients_;
  Floats x_, o_;
  std::vector<ToyTensor> qkvo_;
  Buffer lse_;
};

/// The losses of training on fixed tokens towards fixed targets, by gradient descent.
inline std::vector<double> losses(const ToyModel& model, const Plan& plan) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::array layers{ToyLayer(model, plan, random), ToyLayer(model, plan, random)};
  Floats tokens(static_cast<std::size_t>(model.tokens * model.width()));
  Floats targets(tokens.size());
  for (float& value : tokens) value = normal(random);
  for (float& value : targets) value = normal(random);

  std::vector<double> curve;
  for (int step = 0; step < model.steps; ++step) {
    const Floats y = layers[1].forward(layers[0].forward(tokens));
    Floats dy(y.size());
    double loss = 0;
    const auto count = static_cast<float>(model.tokens);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const float error = y[i] - targets[i];
      loss += 0.5 * double{error} * double{error} / count;
      dy[i] = error / count;
    }
    curve.push_back(loss);
    layers[0].backward(layers[1].backward(dy));
    for (ToyLayer& layer : layers) layer.step();
  }
  return curve;
}

/// Four causal documents whose tokens take turns, in that order and document by document: the same
/// curve, within `tolerance` of each loss.
inline void check_training(const ToyModel& model, TileShape tile, double tolerance) {
  const auto document = [](std::int32_t token) { return token % 4; };
  const auto allowed = [&](std::int32_t i, std::int32_t j) {
    return j <= i && document(i) == document(j);
  };
  std::vector<std::int32_t> order(static_cast<std::size_t>(model.tokens));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return document(a) < document(b); });
  const BlockMask natural_mask = BoolMask(model.tokens, model.tokens, allowed).tiled(tile);
  const BlockMask packed_mask =
      BoolMask(model.tokens, model.tokens, [&](std::int32_t i, std::int32_t j) {
        return allowed(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
      }).tiled(tile);
  ASSERT_LT(packed_mask.full_count() + packed_mask.partial_count(),
            (natural_mask.full_count() + natural_mask.partial_count()) / 2)
      << "the order must matter";

  const auto curve = [&](const BlockMask& mask, std::span<const std::int32_t> new_to_old) {
    return losses(
        model,
        *model.backend.prepare(
            mask, {.threads = 2, .q_order = new_to_old, .kv_order = new_to_old, .backward = true}));
  };
  const auto in_natural = curve(natural_mask, {});
  const auto in_packed = curve(packed_mask, order);
  EXPECT_LT(in_natural.back(), model.remains * in_natural.front()) << "nothing was learnt";
  for (std::size_t step = 0; step < in_natural.size(); ++step) {
    ASSERT_NEAR(in_packed[step], in_natural[step], tolerance * in_natural[step]) << "step " << step;
  }
}

}  // namespace attn::test

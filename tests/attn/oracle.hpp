// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "attn/support.hpp"

namespace attn::test {

struct Problem {
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;
  std::int64_t head_dim = 64;
  DType dtype = DType::f32;
  std::uint64_t seed = 1;
  std::optional<float> scale{};
};

/// Owned inputs and outputs for one mask size.
struct Inputs {
  Tensor q, k, v, o, lse;
  std::optional<float> scale;

  Inputs(const Problem& p, std::int64_t n_q, std::int64_t n_k)
      : q({p.batch, p.heads, n_q, p.head_dim}, p.dtype),
        k({p.batch, p.kv_heads, n_k, p.head_dim}, p.dtype),
        v({p.batch, p.kv_heads, n_k, p.head_dim}, p.dtype),
        o({p.batch, p.heads, n_q, p.head_dim}, p.dtype),
        lse({p.batch, p.heads, n_q, 1}),
        scale(p.scale) {
    q.randomize(p.seed * 3);
    k.randomize(p.seed * 3 + 1);
    v.randomize(p.seed * 3 + 2);
    // What a backend forgets to write shows.
    for (std::int64_t n = 0; n < o.view().elements(); ++n) o.set(n, 777.0f);
    for (std::int64_t n = 0; n < lse.view().elements(); ++n) lse.set(n, 777.0f);
  }
  [[nodiscard]] ForwardArgs args() const {
    return {.q = q.view(),
            .k = k.view(),
            .v = v.view(),
            .o = o.view(),
            .lse = lse.view(),
            .scale = scale};
  }
};

using MaskOf = std::function<bool(std::int64_t b, std::int64_t h, std::int32_t i, std::int32_t j)>;

/// One mask, borrowed, for all batches and heads.
inline MaskOf rule_of(const BoolMask& mask) {
  return [&mask](std::int64_t, std::int64_t, std::int32_t i, std::int32_t j) { return mask(i, j); };
}

/// Attention written out a second time, straight from its definition: in double as the oracle, or,
/// as the yardstick for rounding, in float with weights and output rounded to `dtype`.
template <class Real>
struct Answer {
  std::vector<Real> o;
  std::vector<Real> lse;
};

template <class Real>
Answer<Real> attention(const Inputs& in, const MaskOf& allowed, DType round_to = DType::f32) {
  const TensorView& q = in.q.view();
  const TensorView& k = in.k.view();
  const Real scale =
      in.scale ? static_cast<Real>(*in.scale) : Real{1} / std::sqrt(static_cast<Real>(q.width()));
  const auto rounded = [&](Real value) {
    if constexpr (std::is_same_v<Real, float>) {
      if (round_to == DType::f16) return half_to_float(float_to_half(value));
      if (round_to == DType::bf16) return bfloat16_to_float(float_to_bfloat16(value));
    }
    return value;
  };
  Answer<Real> answer;
  for (std::int64_t b = 0; b < q.batch(); ++b) {
    for (std::int64_t h = 0; h < q.heads(); ++h) {
      const std::int64_t kv_head = h / (q.heads() / k.heads());
      for (std::int32_t i = 0; i < q.rows(); ++i) {
        std::vector<std::int32_t> keys;
        std::vector<Real> scores;
        for (std::int32_t j = 0; j < k.rows(); ++j) {
          if (!allowed(b, h, i, j)) continue;
          Real dot = 0;
          for (std::int64_t d = 0; d < q.width(); ++d) {
            dot += static_cast<Real>(in.q.get(in.q.offset(b, h, i, d))) *
                   static_cast<Real>(in.k.get(in.k.offset(b, kv_head, j, d)));
          }
          keys.push_back(j);
          scores.push_back(scale * dot);
        }
        Real max = -std::numeric_limits<Real>::infinity();
        for (const Real score : scores) max = std::max(max, score);
        Real sum = 0;
        std::vector<Real> row(static_cast<std::size_t>(q.width()), 0);
        for (std::size_t n = 0; n < keys.size(); ++n) {
          const Real weight = std::exp(scores[n] - max);
          sum += weight;
          for (std::int64_t d = 0; d < q.width(); ++d) {
            row[static_cast<std::size_t>(d)] +=
                rounded(weight) * static_cast<Real>(in.v.get(in.v.offset(b, kv_head, keys[n], d)));
          }
        }
        for (const Real value : row) answer.o.push_back(keys.empty() ? 0 : rounded(value / sum));
        answer.lse.push_back(keys.empty() ? -std::numeric_limits<Real>::infinity()
                                          : max + std::log(sum));
      }
    }
  }
  return answer;
}

/// max|got − oracle| ≤ 2 · max|plain − oracle| + atol, and NMSE ≤ 5e-4. Infinities must agree.
inline void expect_close(const char* what, const Tensor& got, const std::vector<double>& oracle,
                         const std::vector<float>& plain, double atol = 1e-6) {
  ASSERT_EQ(static_cast<std::size_t>(got.view().elements()), oracle.size());
  double worst = 0;
  double budget = 0;
  double squared_error = 0;
  double squared = 0;
  std::size_t where = 0;
  for (std::size_t n = 0; n < oracle.size(); ++n) {
    const double value = got.get(static_cast<std::int64_t>(n));
    if (!std::isfinite(oracle[n])) {
      ASSERT_TRUE(value == oracle[n] || (std::isnan(value) && std::isnan(oracle[n])))
          << what << "[" << n << "] is " << value << ", expected " << oracle[n];
      continue;
    }
    const double error = std::abs(value - oracle[n]);
    ASSERT_FALSE(std::isnan(error)) << what << "[" << n << "] is NaN, expected " << oracle[n];
    budget = std::max(budget, std::abs(double{plain[n]} - oracle[n]));
    squared_error += error * error;
    squared += oracle[n] * oracle[n];
    if (error > worst) {
      worst = error;
      where = n;
    }
  }
  budget = 2 * budget + atol;
  EXPECT_LE(worst, budget) << what << "[" << where << "] is "
                           << got.get(static_cast<std::int64_t>(where)) << ", expected "
                           << oracle[where];
  EXPECT_LE(squared_error, 5e-4 * squared + atol * atol) << what << ": NMSE";
}

/// O and LSE against fp64.
inline void compare_with_fp64(const Inputs& in, const MaskOf& rule, double o_atol = 1e-6,
                              double lse_atol = 1e-6) {
  const auto oracle = attention<double>(in, rule);
  const auto plain = attention<float>(in, rule, in.q.view().dtype);
  expect_close("O", in.o, oracle.o, plain.o, o_atol);
  expect_close("LSE", in.lse, oracle.lse, plain.lse, lse_atol);
}

/// The rows [b, h, i, :] that hold a NaN or an infinity.
inline std::vector<std::int64_t> unsound_rows(const Tensor& tensor) {
  std::vector<std::int64_t> rows;
  for (std::int64_t n = 0; n < tensor.view().elements(); ++n) {
    const std::int64_t row = n / tensor.view().width();
    if (!std::isfinite(tensor.get(n)) && (rows.empty() || rows.back() != row)) rows.push_back(row);
  }
  return rows;
}

/// The backends that can run here with tensors in host memory.
inline std::vector<std::string> host_backends() {
  std::vector<std::string> names;
  for (const Backend* backend : backends()) {
    if (backend->info().unavailable.empty() && !backend->info().device_memory) {
      names.push_back(backend->info().name);
    }
  }
  return names;
}

/// A random mask with planted empty rows, empty, full and nearly full 16×16 blocks.
inline BoolMask random_mask(std::int32_t n_q, std::int32_t n_k, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int> kinds(static_cast<std::size_t>((n_q / 16 + 1) * (n_k / 16 + 1)));
  for (int& kind : kinds) kind = static_cast<int>(random() % 4);
  const double density = static_cast<double>(random() % 100) / 100.0;
  std::bernoulli_distribution coin(density);
  return {n_q, n_k, [&](std::int32_t i, std::int32_t j) {
            const bool heads = coin(random);
            if (i % 37 == 5) return false;
            switch (kinds[static_cast<std::size_t>(i / 16 * (n_k / 16 + 1) + j / 16)]) {
              case 0:
                return false;
              case 1:
                return true;
              case 2:
                return i % 16 != 15 || j % 16 != 0;
              default:
                return heads;
            }
          }};
}

}  // namespace attn::test

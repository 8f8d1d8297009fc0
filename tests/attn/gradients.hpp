// SPDX-License-Identifier: Apache-2.0
//
// The backward pass against gradients written out in fp64: what the tests of every backend share.
// A test brings its own way to run, so that tensors may live on a device.
#pragma once

#include <set>
#include <span>

#include "attn/oracle.hpp"
#include "attn/orders.hpp"

namespace attn::test {

/// Owned inputs of the backward pass, and poisoned outputs.
struct Backward {
  Inputs in;
  Tensor d_o, dq, dk, dv;

  Backward(const Problem& p, std::int64_t n_q, std::int64_t n_k)
      : in(p, n_q, n_k),
        d_o(in.q.view().shape, p.dtype),
        dq(in.q.view().shape, p.dtype),
        dk(in.k.view().shape, p.dtype),
        dv(in.k.view().shape, p.dtype) {
    d_o.randomize(p.seed * 3 + 1000);
    for (Tensor* tensor : {&dq, &dk, &dv}) {
      for (std::int64_t n = 0; n < tensor->view().elements(); ++n) tensor->set(n, 777.0f);
    }
  }

  /// Sets O and LSE to what the reference's forward gives.
  void attend(const BlockMask& mask, const PrepareOptions& options = {}) const {
    forward(in.args(), mask, "reference", options);
  }

  [[nodiscard]] BackwardArgs args() const {
    return {.q = in.q.view(),
            .k = in.k.view(),
            .v = in.v.view(),
            .o = in.o.view(),
            .d_o = d_o.view(),
            .lse = in.lse.view(),
            .dq = dq.view(),
            .dk = dk.view(),
            .dv = dv.view(),
            .scale = in.scale};
  }
};

/// Fills dq, dk and dv by a backend's backward pass.
using RunBackward =
    std::function<void(const Backward&, const BlockMask&, const PrepareOptions& options)>;

/// Runs a backend whose tensors are the host's.
inline RunBackward on_host(const std::string& backend_name) {
  return [backend_name](const Backward& problem, const BlockMask& mask,
                        const PrepareOptions& options) {
    backward(problem.args(), mask, backend_name, options);
  };
}

template <class Real>
struct Gradients {
  std::vector<Real> dq, dk, dv;
};

/// The gradients from their definition: in double as the oracle, with an O and an LSE of their own;
/// or, as the yardstick for rounding, in float from the problem's O and LSE, with P, dS and the
/// results rounded to `dtype`.
template <class Real>
Gradients<Real> gradients(const Backward& problem, const MaskOf& allowed,
                          DType round_to = DType::f32) {
  const Inputs& in = problem.in;
  const TensorView& q = in.q.view();
  const TensorView& k = in.k.view();
  const std::int64_t width = q.width();
  const Real scale =
      in.scale ? static_cast<Real>(*in.scale) : Real{1} / std::sqrt(static_cast<Real>(width));
  const auto rounded = [&](Real value) {
    if constexpr (std::is_same_v<Real, float>) {
      if (round_to == DType::f16) return half_to_float(float_to_half(value));
      if (round_to == DType::bf16) return bfloat16_to_float(float_to_bfloat16(value));
    }
    return value;
  };
  // Widened once: what follows reads each element many times.
  const auto widened = [](const Tensor& tensor) {
    std::vector<Real> values(static_cast<std::size_t>(tensor.view().elements()));
    for (std::size_t n = 0; n < values.size(); ++n) {
      values[n] = static_cast<Real>(tensor.get(static_cast<std::int64_t>(n)));
    }
    return values;
  };
  const std::vector<Real> qs = widened(in.q), ks = widened(in.k), vs = widened(in.v);
  const std::vector<Real> d_os = widened(problem.d_o);
  std::vector<Real> os, lses;
  if constexpr (std::is_same_v<Real, double>) {
    Answer<double> answer = attention<double>(in, allowed);
    os = std::move(answer.o);
    lses = std::move(answer.lse);
  } else {
    os = widened(in.o);
    lses = widened(in.lse);
  }
  const auto dot = [width](const std::vector<Real>& a, std::int64_t at_a,
                           const std::vector<Real>& b, std::int64_t at_b) {
    const Real* const x = a.data() + at_a;
    const Real* const y = b.data() + at_b;
    Real sum = 0;
    for (std::int64_t d = 0; d < width; ++d) sum += x[d] * y[d];
    return sum;
  };
  const auto add = [width](std::vector<Real>& sum, std::int64_t at, Real factor,
                           const std::vector<Real>& row, std::int64_t at_row) {
    Real* const to = sum.data() + at;
    const Real* const from = row.data() + at_row;
    for (std::int64_t d = 0; d < width; ++d) to[d] += factor * from[d];
  };

  Gradients<Real> sums{std::vector<Real>(qs.size()), std::vector<Real>(ks.size()),
                       std::vector<Real>(ks.size())};
  for (std::int64_t b = 0; b < q.batch(); ++b) {
    for (std::int64_t h = 0; h < q.heads(); ++h) {
      const std::int64_t kv_head = h / (q.heads() / k.heads());
      for (std::int32_t i = 0; i < q.rows(); ++i) {
        const std::int64_t query = in.q.offset(b, h, i, 0);
        const Real delta = dot(d_os, query, os, query);
        const Real lse = lses[static_cast<std::size_t>(query / width)];
        for (std::int32_t j = 0; j < k.rows(); ++j) {
          if (!allowed(b, h, i, j)) continue;
          const std::int64_t key = in.k.offset(b, kv_head, j, 0);
          const Real p = std::exp(scale * dot(qs, query, ks, key) - lse);
          const Real ds = p * (dot(d_os, query, vs, key) - delta);
          add(sums.dq, query, rounded(ds), ks, key);
          add(sums.dk, key, rounded(ds), qs, query);
          add(sums.dv, key, rounded(p), d_os, query);
        }
      }
    }
  }
  for (Real& value : sums.dq) value = rounded(scale * value);
  for (Real& value : sums.dk) value = rounded(scale * value);
  for (Real& value : sums.dv) value = rounded(value);
  return sums;
}

/// The budget's constant part: gradients cancel, so a plain result may be right by luck.
inline double gradient_allowance(DType dtype) {
  return dtype == DType::f32 ? 2e-6 : dtype == DType::f16 ? 1e-3 : 8e-3;
}

inline void compare_gradients(const Backward& problem, const MaskOf& rule) {
  const DType dtype = problem.in.q.view().dtype;
  const auto oracle = gradients<double>(problem, rule);
  const auto plain = gradients<float>(problem, rule, dtype);
  const double atol = gradient_allowance(dtype);
  expect_close("dQ", problem.dq, oracle.dq, plain.dq, atol);
  expect_close("dK", problem.dk, oracle.dk, plain.dk, atol);
  expect_close("dV", problem.dv, oracle.dv, plain.dv, atol);
}

inline std::string text(const Problem& p, const BoolMask& mask, TileShape tile) {
  return std::string(to_string(p.dtype)) + ", head_dim " + std::to_string(p.head_dim) + ", " +
         std::to_string(mask.n_q) + "x" + std::to_string(mask.n_k) + ", tile " + to_string(tile) +
         ", batch " + std::to_string(p.batch) + ", heads " + std::to_string(p.heads) + "/" +
         std::to_string(p.kv_heads) + ", seed " + std::to_string(p.seed);
}

inline void check_gradients(const RunBackward& run, const Problem& p, const BoolMask& mask,
                            TileShape tile = {}, const PrepareOptions& options = {.threads = 2}) {
  SCOPED_TRACE(text(p, mask, tile));
  const Backward problem(p, mask.n_q, mask.n_k);
  const BlockMask tiled = mask.tiled(tile);
  problem.attend(tiled);
  run(problem, tiled, options);
  compare_gradients(problem, rule_of(mask));
}

/// The caller's tensors are in one order, the mask in another: queries, keys, both.
inline void check_gradients_in_orders(const RunBackward& run, const Problem& p,
                                      const BoolMask& mask,
                                      const std::vector<std::int32_t>& q_order,
                                      const std::vector<std::int32_t>& kv_order,
                                      TileShape tile = {},
                                      PrepareOptions options = {.threads = 2}) {
  const auto q_place = places(q_order);
  const auto kv_place = places(kv_order);
  for (const auto& [rows, cols] : {std::pair{true, false}, {false, true}, {true, true}}) {
    SCOPED_TRACE(text(p, mask, tile) + (rows ? ", q_order" : "") + (cols ? ", kv_order" : ""));
    const Backward problem(p, mask.n_q, mask.n_k);
    options.q_order = options.kv_order = {};
    if (rows) options.q_order = q_order;
    if (cols) options.kv_order = kv_order;
    const BlockMask tiled = mask.tiled(tile);
    problem.attend(tiled, options);
    run(problem, tiled, options);
    compare_gradients(
        problem, [&, by_rows = rows, by_cols = cols](auto, auto, std::int32_t i, std::int32_t j) {
          return mask(by_rows ? q_place[static_cast<std::size_t>(i)] : i,
                      by_cols ? kv_place[static_cast<std::size_t>(j)] : j);
        });
  }
}

inline void check_gradient_orders(const RunBackward& run, const Problem& p, const BoolMask& mask,
                                  TileShape tile = {},
                                  const PrepareOptions& options = {.threads = 2}) {
  check_gradients_in_orders(run, p, mask, shuffled(mask.n_q, p.seed),
                            shuffled(mask.n_k, p.seed + 1), tile, options);
}

/// A stack of masks for 2 batches and 4 query heads that share 2 key heads; `batch` and `heads`
/// say how many masks there are.
inline void check_gradients_of_stacks(const RunBackward& run, Problem p, std::int32_t n_q,
                                      std::int32_t n_k, TileShape tile,
                                      const PrepareOptions& options = {.threads = 2}) {
  p.batch = 2;
  p.heads = 4;
  p.kv_heads = 2;
  const auto q_place = places(options.q_order);
  const auto kv_place = places(options.kv_order);
  for (const auto& [batch, heads] : {std::pair{2, 1}, {1, 4}, {2, 4}}) {
    SCOPED_TRACE("masks: " + std::to_string(batch) + " batches of " + std::to_string(heads));
    std::vector<BoolMask> rules;
    std::vector<BlockMask> masks;
    for (int index = 0; index < batch * heads; ++index) {
      rules.push_back(random_mask(n_q, n_k, p.seed + static_cast<std::uint64_t>(index)));
      masks.push_back(rules.back().tiled(tile));
    }
    const Backward problem(p, n_q, n_k);
    const BlockMask stack = BlockMask::stack(masks, batch, heads);
    problem.attend(stack, {.q_order = options.q_order, .kv_order = options.kv_order});
    run(problem, stack, options);
    compare_gradients(problem, [&, batches = batch, per_batch = heads](
                                   std::int64_t b, std::int64_t h, std::int32_t i, std::int32_t j) {
      const std::int64_t which = (batches == 1 ? 0 : b) * per_batch + (per_batch == 1 ? 0 : h);
      return rules[static_cast<std::size_t>(which)](
          q_place.empty() ? i : q_place[static_cast<std::size_t>(i)],
          kv_place.empty() ? j : kv_place[static_cast<std::size_t>(j)]);
    });
  }
}

/// Masks in which each planted thing would show if it were taken for another.
inline std::vector<std::pair<std::string, BoolMask>> planted_masks(std::int32_t n) {
  const auto empty_row = [](int i) { return i == 3 || i / 64 == 1 || i == 131; };
  return {
      {"dense", {n, n + 57, [](int, int) { return true; }}},
      {"causal", {n, n, [](int i, int j) { return j <= i; }}},
      {"nothing", {n, n, [](int, int) { return false; }}},
      {"one pair", {n, n, [n](int i, int j) { return i == n - 2 && j == n / 2; }}},
      {"empty rows", {n, n, [=](int i, int j) { return !empty_row(i) && (i + j) % 3 != 0; }}},
      {"empty columns", {n, n, [=](int i, int j) { return !empty_row(j) && (i + j) % 3 != 0; }}},
      {"one zero in a full tile", {n, n, [](int i, int j) { return i != 63 || j != 0; }}},
      {"gaps between full tiles", {n, n, [](int i, int j) { return (i / 64 + j / 64) % 2 == 0; }}},
      {"a heavy row and column",
       {n, n, [](int i, int j) { return i == 5 || j == 7 || std::abs(i - j) < 9; }}},
      {"wide", {70, 3 * n, [](int i, int j) { return (i * 7 + j) % 3 != 0; }}},
      {"tall", {3 * n, 70, [](int i, int j) { return (i + j) % 5 != 0; }}},
  };
}

/// Plants a value that is not finite in one row of one tensor and says exactly which gradients it
/// reaches: a bad query its own and those of the keys it allows; a bad key makes every query that
/// allows it a bad query.
inline void check_gradient_containment(const RunBackward& run, const Problem& p, float bad,
                                       TileShape tile,
                                       const PrepareOptions& options = {.threads = 2}) {
  // Query 5 alone allows key 21; nobody allows key 30; key 70 stands in full tiles; query 9 allows
  // nothing; query 40 allows few keys.
  const BoolMask mask(64, 128, [](int i, int j) {
    if (i == 9 || j == 30) return false;
    if (i == 40) return j == 3 || j == 50;
    if (j == 21) return i == 5;
    return j >= 64 || (i + j) % 2 == 0;
  });
  using Rows = std::set<std::int64_t>;
  const auto allowed_by = [&](const Rows& queries) {
    Rows keys;
    for (const std::int64_t i : queries) {
      for (std::int32_t j = 0; j < mask.n_k; ++j) {
        if (mask(static_cast<std::int32_t>(i), j)) keys.insert(j);
      }
    }
    return keys;
  };
  const auto allowing = [&](std::int64_t key) {
    Rows queries;
    for (std::int32_t i = 0; i < mask.n_q; ++i) {
      if (mask(i, static_cast<std::int32_t>(key))) queries.insert(i);
    }
    return queries;
  };
  struct Case {
    const char* tensor;
    std::int64_t row;
    Rows dq, dk, dv;
  };
  std::vector<Case> cases;
  for (const std::int64_t i : {9, 40}) {
    const Rows queries = allowed_by({i}).empty() ? Rows{} : Rows{i};
    const Rows keys = allowed_by({i});
    cases.push_back({"Q", i, queries, keys, keys});
    cases.push_back({"dO", i, queries, keys, keys});
    cases.push_back({"O", i, queries, keys, {}});
    if (std::isnan(bad)) cases.push_back({"LSE", i, queries, keys, keys});
  }
  for (const std::int64_t j : {21, 30, 70}) {
    const Rows queries = allowing(j);
    const Rows keys = allowed_by(queries);
    if (std::isnan(bad)) cases.push_back({"K", j, queries, keys, keys});
    cases.push_back({"V", j, queries, keys, {}});
  }
  const BoolMask ordered(mask.n_q, mask.n_k, [&](std::int32_t i, std::int32_t j) {
    const auto row = [](std::span<const std::int32_t> order, std::int32_t place) {
      return order.empty() ? place : order[static_cast<std::size_t>(place)];
    };
    return mask(row(options.q_order, i), row(options.kv_order, j));
  });
  const BlockMask tiled = ordered.tiled(tile);
  const PrepareOptions orders{.q_order = options.q_order, .kv_order = options.kv_order};
  const Backward sound(p, mask.n_q, mask.n_k);
  sound.attend(tiled, orders);
  backward(sound.args(), tiled, "reference", orders);
  for (const auto& [name, row, want_dq, want_dk, want_dv] : cases) {
    SCOPED_TRACE(std::string(name) + " row " + std::to_string(row) + " = " + std::to_string(bad) +
                 ", " + text(p, mask, tile));
    Backward problem(p, mask.n_q, mask.n_k);
    const bool after_forward = std::string(name) == "O" || std::string(name) == "LSE";
    if (after_forward) problem.attend(tiled, orders);
    Tensor& target = std::string(name) == "Q"     ? problem.in.q
                     : std::string(name) == "K"   ? problem.in.k
                     : std::string(name) == "V"   ? problem.in.v
                     : std::string(name) == "O"   ? problem.in.o
                     : std::string(name) == "LSE" ? problem.in.lse
                                                  : problem.d_o;
    for (std::int64_t d = 0; d < target.view().width(); d += 3) {
      target.set(target.offset(0, 0, row, d), bad);
    }
    if (!after_forward) problem.attend(tiled, orders);
    run(problem, tiled, options);
    const auto rows_of = [](const Tensor& tensor) {
      const auto rows = unsound_rows(tensor);
      return Rows(rows.begin(), rows.end());
    };
    EXPECT_EQ(rows_of(problem.dq), want_dq) << "queries with a bad dQ";
    EXPECT_EQ(rows_of(problem.dk), want_dk) << "keys with a bad dK";
    EXPECT_EQ(rows_of(problem.dv), want_dv) << "keys with a bad dV";

    // All other rows are as if the bad value had never been.
    const auto same = [&](const char* what, const Tensor& got, const Tensor& want,
                          const Rows& but) {
      for (std::int64_t n = 0; n < got.view().elements(); ++n) {
        if (but.count(n / got.view().width()) != 0) continue;
        ASSERT_NEAR(got.get(n), want.get(n), 1e-5 + 4 * gradient_allowance(p.dtype))
            << what << "[" << n << "]";
      }
    };
    same("dQ", problem.dq, sound.dq, want_dq);
    same("dK", problem.dk, sound.dk, want_dk);
    same("dV", problem.dv, sound.dv, want_dv);
  }
}

}  // namespace attn::test

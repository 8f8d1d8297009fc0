// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "allowed.hpp"
#include "attn/backend.hpp"
#include "order.hpp"

namespace attn {

/// Gradients of single queries and keys in fp64, touching allowed pairs only: the reference, and
/// what the fast backend falls back to where non-finite numbers are about.
class ExactGradients {
 public:
  /// Borrows all but the arguments' views. The arguments must be valid.
  ExactGradients(const BackwardArgs& args, const BlockMask& mask, const TransposedMask& transposed,
                 const Order& q_order, const Order& kv_order);

  /// Writes dQ of row i of the mask in query head h of batch b.
  void query(std::int64_t b, std::int64_t h, std::int32_t i);

  /// Writes dK and dV of column j of the mask in key head `kv_head` of batch b.
  void key(std::int64_t b, std::int64_t kv_head, std::int32_t j);

 private:
  /// A query's side of its pairs.
  struct Query {
    std::vector<double> q, d_o;
    double lse = 0;
    double delta = 0;  ///< Σ dO ∘ O
  };
  struct Pair {
    double p, ds;
  };

  void load_query(std::int64_t b, std::int64_t h, std::int32_t i);
  [[nodiscard]] Pair pair() const;

  BackwardArgs args_;
  const BlockMask& mask_;
  const TransposedMask& transposed_;
  const Order& q_order_;
  const Order& kv_order_;
  double scale_;

  std::vector<std::int32_t> others_;  // keys of a query, queries of a key
  Query query_;
  std::vector<double> k_, v_, o_;
  std::vector<double> dq_, dk_, dv_;
};

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "experiments/operands.hpp"
#include "experiments/oracle.hpp"
#include "experiments/tensors.hpp"
#include "reorder/csr.hpp"

namespace experiments {

/// The exact gradients in fp64, from the caller's mask and tensors in the caller's order. O and
/// LSE, which a backward pass is given, are taken as given: that they are right is the business of
/// Oracle.
///
/// A sample holds queries (for dQ) and keys (for dK and dV): the first, the last, the heaviest and
/// the lightest, and others drawn by the seed, spread over batch and heads.
class GradientOracle {
 public:
  /// `transposed` is the mask's transpose. With `q_place`, query i stands at row q_place[i] of the
  /// given O and LSE.
  GradientOracle(const reorder::CsrView& mask, const reorder::CsrView& transposed,
                 const Inputs& inputs, const Outputs& given, float scale, Scope scope,
                 std::uint64_t seed, std::span<const std::int32_t> q_place = {});

  /// Of dQ, dK and dV.
  struct Check {
    std::array<double, 3> max_error{};  ///< infinite when a value is NaN
    double nmse = 0;                    ///< the largest of the three
    std::string mismatch;               ///< the first failure in words, or ""
  };

  /// Compares host tensors in the caller's order: each value within its tensor's tolerance, NMSE
  /// ≤ 5e-4, and exact zeros for a query without keys and a key without queries. `multiple` widens
  /// or narrows the limits. With places, query i stands at row q_place[i] of dQ and key j at row
  /// k_place[j] of dK and dV.
  [[nodiscard]] Check compare(const Gradients& gradients, double multiple = 1,
                              std::span<const std::int32_t> q_place = {},
                              std::span<const std::int32_t> k_place = {}) const;

  /// 2 × the error of a plain computation in the tensors' own precision + an absolute allowance.
  [[nodiscard]] const std::array<double, 3>& tolerance() const noexcept { return tolerance_; }
  [[nodiscard]] const char* scope() const noexcept { return scope_; }
  [[nodiscard]] std::int64_t queries() const noexcept { return std::ssize(rows_[0]); }
  [[nodiscard]] std::int64_t keys() const noexcept { return std::ssize(rows_[1]); }

 private:
  /// One row of one gradient.
  struct Row {
    std::int64_t b, h, i;
    bool empty;
    std::vector<double> value;
  };

  std::array<std::vector<Row>, 3> rows_;
  std::array<double, 3> tolerance_{};
  const char* scope_ = "none";
};

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "experiments/tensors.hpp"
#include "reorder/csr.hpp"

namespace experiments {

/// How much of a result the oracle computes.
enum class Scope {
  automatic,  ///< all rows where that is cheap, a sample otherwise
  whole,
  none,
};

/// The exact answer, in fp64, from the caller's mask and tensors in the caller's order: it knows
/// nothing of tiles, orders and backends, so that it catches a mistake in any of them.
///
/// The sample holds the first, the last, the heaviest and the lightest query and others drawn by
/// the seed, spread over batch and heads.
class Oracle {
 public:
  Oracle(const reorder::CsrView& mask, const Inputs& inputs, float scale, Scope scope,
         std::uint64_t seed);

  struct Check {
    double max_error = 0;  ///< max |O − oracle|; infinite when a value is NaN
    double max_lse_error = 0;
    double nmse = 0;       ///< Σ (O − oracle)² / Σ oracle²
    std::string mismatch;  ///< the first failure in words, or ""
  };

  /// Compares host tensors in the caller's order. The result passes when max |O − oracle| is at
  /// most `tolerance()`, the same holds for LSE, NMSE ≤ 5e-4, and a query without keys has exactly
  /// O = 0 and LSE = −inf. `multiple` widens or narrows all three limits. With `place`, the tensors
  /// are in another order: query i stands at row place[i].
  [[nodiscard]] Check compare(const attn::TensorView& o, const attn::TensorView& lse,
                              double multiple = 1, std::span<const std::int32_t> place = {}) const;

  /// 2 × the error of a plain computation in the tensors' own precision + an absolute allowance.
  [[nodiscard]] double tolerance() const noexcept { return tolerance_; }
  [[nodiscard]] const char* scope() const noexcept { return scope_; }
  [[nodiscard]] std::int64_t rows() const noexcept {
    return static_cast<std::int64_t>(rows_.size());
  }
  [[nodiscard]] std::int64_t rows_total() const noexcept { return rows_total_; }

 private:
  struct Row {
    std::int64_t b, h, i;
    double lse = 0;
    std::vector<double> o;
  };

  std::vector<Row> rows_;
  std::int64_t rows_total_ = 0;
  const char* scope_ = "none";
  double tolerance_ = 0;
  double lse_tolerance_ = 0;
};

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "attn/tensor.hpp"
#include "reorder/csr.hpp"

// What the oracles of O and of the gradients share.
namespace experiments {

inline constexpr double kLimitNmse = 5e-4;

/// The error that the unit in the last place of numbers of size one may leave.
[[nodiscard]] inline double allowance(attn::DType dtype) noexcept {
  switch (dtype) {
    case attn::DType::f32:
      return 1e-5;
    case attn::DType::f16:
      return 1e-3;
    case attn::DType::bf16:
      return 8e-3;
  }
  return 0;
}

[[nodiscard]] inline float rounded(attn::DType dtype, float value) noexcept {
  switch (dtype) {
    case attn::DType::f32:
      return value;
    case attn::DType::f16:
      return attn::half_to_float(attn::float_to_half(value));
    case attn::DType::bf16:
      return attn::bfloat16_to_float(attn::float_to_bfloat16(value));
  }
  return value;
}

/// Multiplications of Q·K under the mask in all heads, where a row itself, which is made, kept and
/// compared whatever it allows, counts as eight pairs.
[[nodiscard]] inline double work_of(const reorder::CsrView& mask, std::int64_t heads,
                                    double width) {
  const double pairs = static_cast<double>(mask.nnz()) + 8.0 * mask.n_rows;
  return pairs * static_cast<double>(heads) * width;
}

/// Rows to begin a sample with, those where a mistake is likeliest: the first, the last, the
/// heaviest and the lightest.
[[nodiscard]] inline std::vector<std::int64_t> notable_rows(const reorder::CsrView& mask) {
  std::int32_t heaviest = 0;
  std::int32_t lightest = 0;
  for (std::int32_t i = 0; i < mask.n_rows; ++i) {
    if (mask.degree(i) > mask.degree(heaviest)) heaviest = i;
    if (mask.degree(i) < mask.degree(lightest)) lightest = i;
  }
  return {0, mask.n_rows - 1, heaviest, lightest};
}

[[nodiscard]] inline std::uint64_t scramble(std::uint64_t x) noexcept {
  x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93ULL;
  x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93ULL;
  return x ^ (x >> 32);
}

/// Rows of the mask for each of `heads` heads, in turn so that each head is looked at: the notable
/// ones, then others drawn by the seed, until `work` multiplications of `width` a pair are spent.
[[nodiscard]] inline std::vector<std::vector<std::int64_t>> sample_rows(
    const reorder::CsrView& mask, std::int64_t heads, double width, double work,
    std::uint64_t seed) {
  constexpr std::size_t kSmallest = 16;
  constexpr std::size_t kLargest = 4096;
  std::vector<std::vector<std::int64_t>> chosen(static_cast<std::size_t>(heads));
  if (mask.n_rows == 0) return chosen;
  const auto notable = notable_rows(mask);
  for (std::size_t s = 0; s < kSmallest || (work > 0 && s < kLargest); ++s) {
    const std::uint64_t draw = scramble(seed * 0x10001 + s + 1);
    const std::int64_t i =
        s < notable.size()
            ? notable[s]
            : static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(mask.n_rows));
    auto& rows = chosen[s % chosen.size()];
    if (std::find(rows.begin(), rows.end(), i) == rows.end()) rows.push_back(i);
    work -= static_cast<double>(mask.degree(static_cast<std::int32_t>(i)) + 1) * width;
  }
  return chosen;
}

/// Every row for every head.
[[nodiscard]] inline std::vector<std::vector<std::int64_t>> all_rows(const reorder::CsrView& mask,
                                                                     std::int64_t heads) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(mask.n_rows));
  for (std::int64_t i = 0; i < mask.n_rows; ++i) rows[static_cast<std::size_t>(i)] = i;
  return std::vector(static_cast<std::size_t>(heads), rows);
}

}  // namespace experiments

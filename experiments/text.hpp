// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace experiments {

/// `value` with this many digits after the point: fixed(2.5, 1) is "2.5".
[[nodiscard]] std::string fixed(double value, int digits);

/// Three significant digits without an exponent where that is legible: "0.0123", "4.56", "1234".
[[nodiscard]] std::string three_digits(double value);

/// "1.2e-07".
[[nodiscard]] std::string scientific(double value, int digits = 1);

/// 1234567 as "1,234,567".
[[nodiscard]] std::string grouped(std::int64_t value);

/// The number of columns that UTF-8 text takes on a terminal, every character counted as one.
[[nodiscard]] std::size_t display_width(std::string_view text) noexcept;

/// The text shortened in its middle to `width` columns: "longformer(n=…seed=1)".
[[nodiscard]] std::string elide(std::string_view text, std::size_t width);

enum class Align { left, right };

/// Rows in aligned columns, two spaces apart, without trailing spaces; the first row is a heading
/// with a rule below it. Every row has `align.size()` cells.
[[nodiscard]] std::string align_columns(std::span<const std::vector<std::string>> rows,
                                        std::span<const Align> align);

/// The same as a Markdown table.
[[nodiscard]] std::string markdown_table(std::span<const std::vector<std::string>> rows,
                                         std::span<const Align> align);

/// "; did you mean 'rcm'?", or "" when no candidate is near.
[[nodiscard]] std::string did_you_mean(std::string_view name,
                                       std::span<const std::string> candidates);

/// The same, or "; " and `otherwise` when no candidate is near.
[[nodiscard]] std::string did_you_mean_or(std::string_view name,
                                          std::span<const std::string> candidates,
                                          std::string_view otherwise);

}  // namespace experiments

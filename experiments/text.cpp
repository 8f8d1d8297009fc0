// SPDX-License-Identifier: Apache-2.0
#include "experiments/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "reorder/spec.hpp"

namespace experiments {
namespace {

std::string print(const char* format, int digits, double value) {
  std::array<char, 400> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), format, digits, value);
  return {buffer.data(), static_cast<std::size_t>(length)};
}

/// Whether this byte begins a UTF-8 character.
bool begins_character(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
}

}  // namespace

std::string fixed(double value, int digits) {
  return print("%.*f", digits, value);
}

std::string scientific(double value, int digits) {
  return print("%.*e", digits, value);
}

std::string three_digits(double value) {
  if (!std::isfinite(value)) return print("%.*g", 3, value);
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size < 1e-4 || size >= 1e7) return scientific(value, 2);
  const int digits = 2 - static_cast<int>(std::floor(std::log10(size)));
  return fixed(value, std::clamp(digits, 0, 6));
}

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::size_t display_width(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

std::string elide(std::string_view text, std::size_t width) {
  if (display_width(text) <= width || width < 3) return std::string(text);
  // Where each character begins, so that no character is cut in two.
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (begins_character(text[i])) begins.push_back(i);
  }
  const std::size_t head = (width - 1) / 2;
  const std::size_t tail = width - 1 - head;
  return std::string(text.substr(0, begins[head])) + "…" +
         std::string(text.substr(begins[begins.size() - tail]));
}

std::string align_columns(std::span<const std::vector<std::string>> rows,
                          std::span<const Align> align) {
  std::vector<std::size_t> widths(align.size(), 0);
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], display_width(row[c]));
    }
  }
  std::string out;
  const auto end_line = [&out] {
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  };
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const std::string padding(widths[c] - display_width(rows[r][c]), ' ');
      if (c > 0) out += "  ";
      out += align[c] == Align::right ? padding + rows[r][c] : rows[r][c] + padding;
    }
    end_line();
    if (r == 0) {
      for (std::size_t c = 0; c < widths.size(); ++c) {
        out += (c > 0 ? "  " : "") + std::string(widths[c], '-');
      }
      end_line();
    }
  }
  return out;
}

std::string markdown_table(std::span<const std::vector<std::string>> rows,
                           std::span<const Align> align) {
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    out += '|';
    for (const auto& cell : cells) {
      out += ' ';
      // A pipe in a pipeline's text would end the cell.
      for (const char c : cell) out += c == '|' ? std::string("\\|") : std::string(1, c);
      out += " |";
    }
    out += '\n';
  };
  line(rows.front());
  std::vector<std::string> rule;
  for (const Align a : align) rule.emplace_back(a == Align::right ? "--:" : "---");
  line(rule);
  for (std::size_t r = 1; r < rows.size(); ++r) line(rows[r]);
  return out;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> candidates) {
  const std::string nearest = reorder::nearest_name(name, candidates);
  return nearest.empty() ? "" : "; did you mean '" + nearest + "'?";
}

std::string did_you_mean_or(std::string_view name, std::span<const std::string> candidates,
                            std::string_view otherwise) {
  const std::string hint = did_you_mean(name, candidates);
  return hint.empty() ? "; " + std::string(otherwise) : hint;
}

}  // namespace experiments

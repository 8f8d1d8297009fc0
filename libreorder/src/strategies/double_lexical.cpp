// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "strategies/make.hpp"

namespace reorder {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// Sorts lines as words whose letters are the entries along the other side: a line with an entry
/// stands before one without, the first place where they differ decides, and equal lines stay as
/// they were. One class of lines is split by each line of the other side in turn. O(n + nnz).
class LexicalSorter {
 public:
  explicit LexicalSorter(std::int32_t n_lines) : class_of_(at(n_lines)), place_of_(at(n_lines)) {}

  /// `across` has the sorted lines as its columns; its rows are read in the order of `letters`.
  /// Whether anything moved.
  bool sort(const CsrView& across, std::span<const std::int32_t> letters,
            std::vector<std::int32_t>& lines) {
    const std::vector<std::int32_t> before = lines;
    begins_.assign(1, 0);
    sizes_.assign(1, static_cast<std::int32_t>(lines.size()));
    hits_.assign(1, 0);
    std::fill(class_of_.begin(), class_of_.end(), 0);
    for (std::size_t place = 0; place < lines.size(); ++place) {
      place_of_[at(lines[place])] = static_cast<std::int32_t>(place);
    }
    for (const std::int32_t letter : letters) split_by(across.row(letter), lines);
    order_equal_lines(before, lines);
    return lines != before;
  }

 private:
  void split_by(std::span<const std::int32_t> with_entry, std::vector<std::int32_t>& lines) {
    touched_.clear();
    for (const std::int32_t line : with_entry) {
      const std::int32_t k = class_of_[at(line)];
      if (sizes_[at(k)] == 1) continue;
      if (hits_[at(k)] == 0) touched_.push_back(k);
      // The lines with an entry gather at the beginning of their class.
      const std::int32_t place = begins_[at(k)] + hits_[at(k)]++;
      const std::int32_t other = lines[at(place)];
      std::swap(lines[at(place)], lines[at(place_of_[at(line)])]);
      place_of_[at(other)] = std::exchange(place_of_[at(line)], place);
    }
    for (const std::int32_t k : touched_) {
      const std::int32_t hits = std::exchange(hits_[at(k)], 0);
      if (hits == sizes_[at(k)]) continue;
      const auto with = static_cast<std::int32_t>(begins_.size());
      begins_.push_back(begins_[at(k)]);
      sizes_.push_back(hits);
      hits_.push_back(0);
      for (std::int32_t i = 0; i < hits; ++i) class_of_[at(lines[at(begins_[at(k)] + i)])] = with;
      begins_[at(k)] += hits;
      sizes_[at(k)] -= hits;
    }
  }

  /// Swapping has mixed the lines of a class; they go back to the order that they had.
  void order_equal_lines(const std::vector<std::int32_t>& before,
                         std::vector<std::int32_t>& lines) const {
    std::vector<std::int32_t> next = begins_;
    for (const std::int32_t line : before) lines[at(next[at(class_of_[at(line)])]++)] = line;
  }

  std::vector<std::int32_t> class_of_;  ///< by line
  std::vector<std::int32_t> place_of_;  ///< by line
  std::vector<std::int32_t> begins_;    ///< by class
  std::vector<std::int32_t> sizes_;
  std::vector<std::int32_t> hits_;
  std::vector<std::int32_t> touched_;
};

std::vector<std::int32_t> natural_order(std::int32_t n) {
  std::vector<std::int32_t> order(at(n));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

}  // namespace

StrategyPtr make_double_lexical() {
  return make_strategy(
      {.name = "double_lexical",
       .summary = "rows and columns sorted as words by turns, until both are: staircases and "
                  "nested blocks",
       .citation = "Lubiw, Doubly lexical orderings of matrices, SIAM J. Comput. 16 (1987); the "
                   "sorting: Paige and Tarjan, Three partition refinement algorithms, ibid.",
       .params = {{.name = "rounds",
                   .fallback = std::int64_t{64},
                   .min = 0,
                   .max = 1000000,
                   .summary = "of rows and columns, at most"}}},
      [](const CsrView& mask, const Params& params, const Context&) {
        const Csr transposed = transpose(mask);
        std::vector<std::int32_t> rows = natural_order(mask.n_rows);
        std::vector<std::int32_t> cols = natural_order(mask.n_cols);
        LexicalSorter row_sorter(mask.n_rows);
        LexicalSorter col_sorter(mask.n_cols);
        // Each sort makes the matrix, read as one word, larger, so that this comes to an end.
        for (std::int64_t round = 0; round < params.integer("rounds"); ++round) {
          const bool rows_moved = row_sorter.sort(transposed, cols, rows);
          const bool cols_moved = col_sorter.sort(mask, rows, cols);
          if (!rows_moved && !cols_moved) break;
        }
        return Ordering{Permutation(std::move(rows)), Permutation(std::move(cols)), false};
      });
}

}  // namespace reorder

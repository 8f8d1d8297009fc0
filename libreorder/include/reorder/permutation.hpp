// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace reorder {

/// A checked bijection of 0..n-1 in the project's one convention, new_to_old:
/// `p[i]` is the old index of what now stands at place i.
class Permutation {
 public:
  Permutation() = default;

  /// Throws Error{not_a_permutation} naming the first place whose index is out of range
  /// or was used before. O(n).
  explicit Permutation(std::vector<std::int32_t> new_to_old);

  [[nodiscard]] static Permutation identity(std::int32_t n);

  [[nodiscard]] std::int32_t size() const noexcept {
    return static_cast<std::int32_t>(new_to_old_.size());
  }
  [[nodiscard]] std::int32_t operator[](std::int32_t place) const noexcept {
    return new_to_old_[static_cast<std::size_t>(place)];
  }
  [[nodiscard]] std::span<const std::int32_t> new_to_old() const noexcept { return new_to_old_; }

  /// old_to_new as a permutation: `p.inverse()[p[i]] == i`.
  [[nodiscard]] Permutation inverse() const;

  /// Applies `*this` first and `second` to its result: `r[i] = (*this)[second[i]]`.
  /// Throws Error{invalid_argument} when the sizes differ.
  [[nodiscard]] Permutation then(const Permutation& second) const;

  [[nodiscard]] bool is_identity() const noexcept;

  friend bool operator==(const Permutation&, const Permutation&) = default;

 private:
  std::vector<std::int32_t> new_to_old_;
};

/// How to permute a mask: rows (queries) and columns (keys), each new_to_old.
struct Ordering {
  Permutation rows;
  Permutation cols;
  bool symmetric = false;  ///< rows and cols are the same permutation: one token order serves all

  [[nodiscard]] static Ordering identity(std::int32_t n_rows, std::int32_t n_cols);

  /// One permutation for both sides of a square mask.
  [[nodiscard]] static Ordering same(Permutation tokens);

  /// `*this` first, then `second` on the permuted mask. Throws Error{invalid_argument}
  /// when the sizes differ.
  [[nodiscard]] Ordering then(const Ordering& second) const;

  friend bool operator==(const Ordering&, const Ordering&) = default;
};

}  // namespace reorder

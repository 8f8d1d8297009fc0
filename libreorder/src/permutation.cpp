// SPDX-License-Identifier: Apache-2.0
#include "reorder/permutation.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "reorder/error.hpp"

namespace reorder {
namespace {

void check(std::span<const std::int32_t> new_to_old) {
  const std::size_t n = new_to_old.size();
  if (n > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error(ErrorCode::too_large, "a permutation of " + std::to_string(n) +
                                          " places exceeds the limit of 2147483647");
  }
  std::vector<bool> used(n);
  for (std::size_t place = 0; place < n; ++place) {
    const std::int32_t old = new_to_old[place];
    if (old < 0 || static_cast<std::size_t>(old) >= n) {
      throw Error(ErrorCode::not_a_permutation, "place " + std::to_string(place) + " holds index " +
                                                    std::to_string(old) + ", outside [0, " +
                                                    std::to_string(n) + ")");
    }
    if (used[static_cast<std::size_t>(old)]) {
      const auto first = std::find(new_to_old.begin(), new_to_old.end(), old) - new_to_old.begin();
      throw Error(ErrorCode::not_a_permutation, "index " + std::to_string(old) +
                                                    " stands at place " + std::to_string(first) +
                                                    " and again at place " + std::to_string(place));
    }
    used[static_cast<std::size_t>(old)] = true;
  }
}

}  // namespace

Permutation::Permutation(std::vector<std::int32_t> new_to_old)
    : new_to_old_(std::move(new_to_old)) {
  check(new_to_old_);
}

Permutation Permutation::identity(std::int32_t n) {
  if (n < 0) {
    throw Error(ErrorCode::invalid_argument,
                "a permutation cannot have " + std::to_string(n) + " places");
  }
  Permutation result;
  result.new_to_old_.resize(static_cast<std::size_t>(n));
  std::iota(result.new_to_old_.begin(), result.new_to_old_.end(), 0);
  return result;
}

Permutation Permutation::inverse() const {
  Permutation result;
  result.new_to_old_.resize(new_to_old_.size());
  for (std::int32_t place = 0; place < size(); ++place) {
    result.new_to_old_[static_cast<std::size_t>((*this)[place])] = place;
  }
  return result;
}

Permutation Permutation::then(const Permutation& second) const {
  if (second.size() != size()) {
    throw Error(ErrorCode::invalid_argument, "a permutation of " + std::to_string(size()) +
                                                 " places cannot be followed by one of " +
                                                 std::to_string(second.size()));
  }
  Permutation result;
  result.new_to_old_.resize(new_to_old_.size());
  for (std::int32_t place = 0; place < size(); ++place) {
    result.new_to_old_[static_cast<std::size_t>(place)] = (*this)[second[place]];
  }
  return result;
}

bool Permutation::is_identity() const noexcept {
  for (std::int32_t place = 0; place < size(); ++place) {
    if ((*this)[place] != place) return false;
  }
  return true;
}

Ordering Ordering::identity(std::int32_t n_rows, std::int32_t n_cols) {
  return {Permutation::identity(n_rows), Permutation::identity(n_cols), n_rows == n_cols};
}

Ordering Ordering::same(Permutation tokens) {
  Ordering result{.rows = tokens, .cols = {}, .symmetric = true};
  result.cols = std::move(tokens);
  return result;
}

Ordering Ordering::then(const Ordering& second) const {
  return {rows.then(second.rows), cols.then(second.cols), symmetric && second.symmetric};
}

}  // namespace reorder

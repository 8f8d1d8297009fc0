// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace attn {

/// Where row i of the mask stands in the tensors: an owned, checked new_to_old, or the identity.
class Order {
 public:
  /// Throws Error{invalid_argument}, naming `what`, unless `new_to_old` is empty or a permutation
  /// of [0, n).
  Order(std::span<const std::int32_t> new_to_old, std::int32_t n, std::string_view what);

  /// Any rows in any order, taken as they are.
  [[nodiscard]] static Order of_places(std::vector<std::int32_t> places) {
    Order order;
    order.places_ = std::move(places);
    return order;
  }

  [[nodiscard]] std::int32_t operator[](std::int32_t i) const noexcept {
    return places_.empty() ? i : places_[static_cast<std::size_t>(i)];
  }

 private:
  Order() = default;

  std::vector<std::int32_t> places_;
};

/// Throws Error{invalid_argument}, naming `what`, unless `new_to_old` is a permutation of [0, n).
void check_permutation(std::span<const std::int32_t> new_to_old, std::int64_t n,
                       std::string_view what);

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#include "order.hpp"

#include <string>

#include "attn/error.hpp"

namespace attn {

void check_permutation(std::span<const std::int32_t> new_to_old, std::int64_t n,
                       std::string_view what) {
  const auto fail = [&](const std::string& why) {
    throw Error(ErrorCode::invalid_argument, std::string(what) + " is not a permutation of " +
                                                 std::to_string(n) + " rows: " + why);
  };
  if (static_cast<std::int64_t>(new_to_old.size()) != n) {
    fail("it has " + std::to_string(new_to_old.size()) + " entries");
  }
  std::vector<bool> seen(new_to_old.size(), false);
  for (std::size_t i = 0; i < new_to_old.size(); ++i) {
    const std::int32_t old = new_to_old[i];
    const auto entry = [&] { return "entry " + std::to_string(i) + " is " + std::to_string(old); };
    if (old < 0 || old >= n) fail(entry());
    if (seen[static_cast<std::size_t>(old)]) fail(entry() + ", which stands before it too");
    seen[static_cast<std::size_t>(old)] = true;
  }
}

Order::Order(std::span<const std::int32_t> new_to_old, std::int32_t n, std::string_view what) {
  if (new_to_old.empty()) return;
  check_permutation(new_to_old, n, what);
  places_.assign(new_to_old.begin(), new_to_old.end());
}

}  // namespace attn

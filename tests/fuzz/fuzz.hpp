// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "reorder/error.hpp"

// clang declares nothing for its entry point.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace masks {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Runs `read`; an Error is a right answer to bad input, any other exception is a finding.
template <class Read>
void expect_result_or_error(Read&& read) {
  try {
    read();
  } catch (const reorder::Error&) {
  }
}

/// Stops at a broken promise, so that libFuzzer keeps the input.
inline void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace masks

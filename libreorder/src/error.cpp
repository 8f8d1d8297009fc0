// SPDX-License-Identifier: Apache-2.0
#include "reorder/error.hpp"

namespace reorder {

const char* to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::invalid_pattern:
      return "invalid_pattern";
    case ErrorCode::not_a_permutation:
      return "not_a_permutation";
    case ErrorCode::unknown_name:
      return "unknown_name";
    case ErrorCode::syntax:
      return "syntax";
    case ErrorCode::bad_file:
      return "bad_file";
    case ErrorCode::plugin:
      return "plugin";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::too_large:
      return "too_large";
  }
  return "unknown";
}

}  // namespace reorder

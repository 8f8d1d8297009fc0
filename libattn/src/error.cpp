// SPDX-License-Identifier: Apache-2.0
#include "attn/error.hpp"

namespace attn {

const char* to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::invalid_mask:
      return "invalid_mask";
    case ErrorCode::unknown_name:
      return "unknown_name";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::no_device:
      return "no_device";
    case ErrorCode::device:
      return "device";
  }
  return "unknown";
}

}  // namespace attn

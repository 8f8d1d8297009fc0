// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace attn {

/// What kind of mistake an Error reports.
enum class ErrorCode {
  invalid_argument,  ///< a shape, stride, scale or tile outside its documented range
  invalid_mask,      ///< a mask pattern that is truncated, unsorted or out of range
  unknown_name,      ///< no backend has this name
  unsupported,       ///< the backend cannot run this problem; the text says why
  no_device,         ///< the backend needs a device that is not there, or was not built
  device,            ///< the device reported an error
};

/// The stable lower-case name of a code ("no_device").
[[nodiscard]] const char* to_string(ErrorCode code) noexcept;

/// The one exception of libattn: the caller's mistake or the device's error. `what()` is one
/// sentence that names the value and the limit. Bugs of the library itself are asserts.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace reorder {

/// What kind of mistake an Error reports.
enum class ErrorCode {
  invalid_argument,   ///< a value outside its documented range
  invalid_pattern,    ///< a CSR pattern that is truncated, unsorted or out of range
  not_a_permutation,  ///< an index is missing, repeated or out of range
  unknown_name,       ///< no strategy, parameter or generator has this name
  syntax,             ///< a pipeline or mask string that does not parse
  bad_file,  ///< a file that cannot be read or written; the text says path:line where there is one
  plugin,    ///< a plugin that does not load, has another ABI version or failed
  unavailable,  ///< this build lacks an optional library
  too_large,    ///< a size beyond the index types or a documented limit
};

/// The stable lower-case name of a code, as it stands in records ("bad_file").
[[nodiscard]] const char* to_string(ErrorCode code) noexcept;

/// The one exception of libreorder and of the mask library: the caller's
/// mistake, a bad file or a missing optional part. `what()` is one sentence that
/// names the value and the limit. Bugs of the library itself are asserts.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace reorder

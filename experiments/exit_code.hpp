// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <stdexcept>

namespace experiments {

/// What the program tells its caller. Scripts and ctest depend on these numbers.
enum class ExitCode : int {
  ok = 0,
  failure = 1,        ///< a bad file, a full disk, a missing library, a broken plugin
  usage = 2,          ///< an unknown name or a parameter outside its range
  mismatch = 3,       ///< a result differs from the oracle
  no_device = 77,     ///< the backend needs a device that is not here; ctest counts it as skipped
  interrupted = 130,  ///< SIGINT or SIGTERM; what was measured is kept
};

/// A mistake in the command line or in a sweep's configuration, as one sentence.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The exit code that an exception of this program or of its libraries stands for.
[[nodiscard]] ExitCode exit_code_of(const std::exception& error) noexcept;

}  // namespace experiments

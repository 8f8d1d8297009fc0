// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace experiments {

/// While this object lives, the first SIGINT or SIGTERM is noted instead of ending the process, so
/// that the measurement under way is finished and written; the second ends it as usual.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  [[nodiscard]] bool interrupted() const noexcept;
};

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

namespace experiments {

/// Tells a person how far a long run is: a bar with the time left where `out` is a terminal, one
/// plain line a step otherwise.
class Progress {
 public:
  /// `out` is stderr's stream; `terminal` whether it is a terminal.
  Progress(std::ostream& out, bool terminal, int total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// What is being done now; shown beside the bar.
  void begin(const std::string& what);

  /// The step is done; `result` is what to say of it.
  void done(const std::string& result);

 private:
  void draw();
  void clear();

  std::ostream& out_;
  bool terminal_;
  int total_;
  int done_ = 0;
  std::string what_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "0:07", "12:34", "1:02:03".
[[nodiscard]] std::string clock_text(double seconds);

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "experiments/support.hpp"

namespace experiments::test {

/// The program blockfill as a user runs it: in a process of its own, its output in files.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, std::string standard_output = "") {
    out_ = standard_output.empty() ? dir_ / "out" : std::filesystem::path(standard_output);
    process_ = ::fork();
    if (process_ != 0) return;
    redirect(out_, STDOUT_FILENO);
    redirect(dir_ / "err", STDERR_FILENO);
    std::vector<char*> argv = {const_cast<char*>(BLOCKFILL_PROGRAM)};
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(BLOCKFILL_PROGRAM, argv.data());
    ::_exit(127);
  }
  ~Program() {
    if (running_) (void)wait();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Waits for its end: the exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    running_ = false;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  [[nodiscard]] pid_t process() const noexcept { return process_; }
  [[nodiscard]] std::string out() const { return slurp(out_); }
  [[nodiscard]] std::string err() const { return slurp(dir_ / "err"); }

 private:
  static void redirect(const std::filesystem::path& file, int descriptor) {
    const int opened = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (opened < 0 || ::dup2(opened, descriptor) < 0) ::_exit(126);
  }

  TempDir dir_;
  std::filesystem::path out_;
  pid_t process_ = -1;
  bool running_ = true;
};

/// Runs it to its end and checks the exit code.
struct Finished {
  std::string out, err;
};
inline Finished run_blockfill(int expected, std::vector<std::string> arguments,
                              const std::string& standard_output = "") {
  std::string command = "blockfill";
  for (const auto& argument : arguments) command += " '" + argument + "'";
  Program program(std::move(arguments), standard_output);
  const int code = program.wait();
  Finished finished{standard_output.empty() ? program.out() : "", program.err()};
  EXPECT_EQ(code, expected) << command << "\n" << finished.out << finished.err;
  return finished;
}

}  // namespace experiments::test

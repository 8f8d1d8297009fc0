// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "reorder/error.hpp"

namespace reorder::testing {

/// Runs `write`, of more than 100,000 bytes, in a process of its own whose files may not be so
/// large: that fails as a full disk does. It must throw Error{bad_file} and name the file.
inline void write_to_a_full_disk(const std::filesystem::path& file,
                                 const std::function<void()>& write) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write();
    } catch (const Error& error) {
      const bool good = error.code() == ErrorCode::bad_file &&
                        std::string(error.what()).starts_with(file.string() + ": cannot write: ");
      std::_Exit(good ? 0 : 2);
    }
    std::_Exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: no error, 2: another error than expected";
}

}  // namespace reorder::testing

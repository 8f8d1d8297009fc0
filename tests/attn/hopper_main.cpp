// SPDX-License-Identifier: Apache-2.0
//
// The main of tests that need an H100 or H200: without one they are skipped with a sentence.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "attn/backend.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string& why = attn::backend("hopper").info().unavailable;
  if (!why.empty()) {
    std::printf("skipped: the backend hopper cannot run here: %s\n", why.c_str());
    return 77;
  }
  return RUN_ALL_TESTS();
}

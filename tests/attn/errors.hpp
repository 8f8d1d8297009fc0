// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "attn/error.hpp"

namespace attn::test {

/// `work` must throw Error with this code and a sentence that contains `part`.
template <class Work>
void expect_error(ErrorCode code, const std::string& part, Work work) {
  try {
    work();
    ADD_FAILURE() << "no error; expected one with \"" << part << "\"";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace attn::test

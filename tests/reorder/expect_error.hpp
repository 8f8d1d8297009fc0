// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "reorder/error.hpp"

namespace reorder::testing {

/// `function` must throw an Error of this code whose sentence holds `part`.
template <typename Function>
void expect_error(ErrorCode code, const std::string& part, Function function) {
  try {
    function();
    ADD_FAILURE() << "nothing was thrown; expected " << to_string(code) << " with \"" << part
                  << "\"";
  } catch (const Error& error) {
    EXPECT_STREQ(to_string(error.code()), to_string(code)) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << "the sentence: " << error.what() << "\nexpected part: " << part;
  }
}

}  // namespace reorder::testing

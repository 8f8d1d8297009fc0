// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

#include "experiments/fields.hpp"

namespace experiments {

/// A text that cannot be read: "c.json:3:11: not JSON: expected a key in quotes, found ','".
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The value that a text holds, which may have comments. `file` names it in messages. Throws
/// JsonError with the line and column (in bytes, from 1) of what is wrong, and for a key that is
/// given twice: the later of two alike must not take the place of the former in silence.
[[nodiscard]] Json parse_json(const std::string& text, const std::string& file);

}  // namespace experiments

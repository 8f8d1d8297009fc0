// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace masks::data {

// The files of this folder as they are, compiled in so that the library needs no data path.
// CMakeLists.txt writes the definitions at configure time.
extern const std::string_view kAlpacaLengths;
extern const std::string_view kMedusaChoices;
extern const std::string_view kPeerMasks;

}  // namespace masks::data

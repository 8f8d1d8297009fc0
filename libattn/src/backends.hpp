// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "attn/backend.hpp"

namespace attn {

// One function a line of backends.def, each returning the one object of its backend.
#define BACKEND(name) const Backend& name##_backend();
#include "backends.def"
#undef BACKEND

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace experiments::paper {

/// figures.json, compiled in.
extern const char* const kFigures;

}  // namespace experiments::paper

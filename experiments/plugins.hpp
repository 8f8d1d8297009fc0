// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "reorder/pipeline.hpp"

namespace experiments {

/// The built-in strategies, those of every *.so in the folders of REORDER_PLUGIN_PATH (separated by
/// ':'), and those of `plugins`. Throws reorder::Error{plugin}.
[[nodiscard]] reorder::Registry make_registry(std::span<const std::string> plugins);

}  // namespace experiments

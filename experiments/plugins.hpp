// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "reorder/pipeline.hpp"

namespace experiments {

/// The file that each plugin's strategy came from, by the strategy's name.
using PluginFiles = std::map<std::string, std::filesystem::path>;

/// The built-in strategies, those of every *.so in the folders of REORDER_PLUGIN_PATH (separated by
/// ':'), and those of `plugins`. Says in `files` where plugins' strategies came from. Throws
/// reorder::Error{plugin}.
[[nodiscard]] reorder::Registry make_registry(std::span<const std::string> plugins,
                                              PluginFiles* files = nullptr);

}  // namespace experiments

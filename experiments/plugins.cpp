// SPDX-License-Identifier: Apache-2.0
#include "experiments/plugins.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <vector>

#include "reorder/error.hpp"

namespace experiments {
namespace {

namespace fs = std::filesystem;

/// The folder's shared objects by name, so that the registry does not depend on the disk's order.
std::vector<fs::path> shared_objects(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".so") files.push_back(entry.path());
  }
  if (error) {
    throw reorder::Error(reorder::ErrorCode::plugin, "REORDER_PLUGIN_PATH: cannot read folder " +
                                                         folder.string() + ": " + error.message());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

reorder::Registry make_registry(std::span<const std::string> plugins, PluginFiles* files) {
  auto registry = reorder::Registry::with_builtins();
  std::vector<fs::path> loaded;
  const auto load = [&](const fs::path& file) {
    // A plugin named on the command line may lie in the folder as well.
    const fs::path real = fs::weakly_canonical(file);
    if (std::find(loaded.begin(), loaded.end(), real) != loaded.end()) return;
    for (const auto& name : registry.load_plugin(file)) {
      if (files != nullptr) files->emplace(name, file);
    }
    loaded.push_back(real);
  };
  if (const char* folders = std::getenv("REORDER_PLUGIN_PATH")) {
    std::istringstream list(folders);
    for (std::string folder; std::getline(list, folder, ':');) {
      if (folder.empty()) continue;
      for (const auto& file : shared_objects(folder)) load(file);
    }
  }
  for (const auto& file : plugins) load(file);
  return registry;
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "reorder/plugin.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include "names.hpp"
#include "reorder/error.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

constexpr const char* kSymbol = "blockfill_plugin";

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorCode::plugin, "plugin '" + file.string() + "' " + what);
}

/// Whether a struct that says it is `struct_size` bytes long has the field that ends at `end`.
bool reaches(std::size_t struct_size, std::size_t end) {
  return struct_size >= end;
}

template <typename Field>
constexpr std::size_t end_of(std::size_t offset) {
  return offset + sizeof(Field);
}

/// A strategy of a plugin. The C struct belongs to the shared object, which stays loaded.
class PluginStrategy final : public Strategy {
 public:
  PluginStrategy(const reorder_plugin_strategy& plugin, const std::filesystem::path& file)
      : plugin_(plugin) {
    info_.name = plugin.name;
    info_.summary = plugin.summary;
    info_.citation = "plugin " + file.filename().string();
    info_.params = {{.name = "params",
                     .fallback = std::string(),
                     .summary = "text handed to the plugin as it is"}};
    info_.capabilities.rectangular = plugin.rectangular != 0;
  }

  [[nodiscard]] const StrategyInfo& info() const override { return info_; }

  [[nodiscard]] Ordering order(const CsrView& mask, const Params& params,
                               const Context& context) const override {
    const reorder_mask c_mask{.struct_size = sizeof(reorder_mask),
                              .n_rows = mask.n_rows,
                              .n_cols = mask.n_cols,
                              .row_offsets = mask.row_offsets.data(),
                              .col_indices = mask.col_indices.data(),
                              .tile_rows = context.objective.tile.rows,
                              .tile_cols = context.objective.tile.cols,
                              .seed = context.seed,
                              .threads = context.threads};
    // -1 everywhere: a place that the plugin forgets is found by the check for a permutation.
    std::vector<std::int32_t> rows(static_cast<std::size_t>(mask.n_rows), -1);
    std::vector<std::int32_t> cols(static_cast<std::size_t>(mask.n_cols), -1);
    std::array<char, 512> error{};
    std::int32_t status = 0;
    try {
      status = plugin_.order(&c_mask, params.text("params").c_str(), rows.data(), cols.data(),
                             error.data(), error.size(), plugin_.user);
    } catch (const std::exception& thrown) {
      throw Error(ErrorCode::plugin, std::string("the plugin threw: ") + thrown.what());
    } catch (...) {  // whatever it is, it must not end the program that loaded the plugin
      throw Error(ErrorCode::plugin, "the plugin threw what is no std::exception");
    }
    if (status != 0) {
      error.back() = '\0';
      const std::string sentence(error.data());
      throw Error(ErrorCode::plugin, "the plugin returned " + std::to_string(status) +
                                         (sentence.empty() ? "" : ": " + sentence));
    }
    const bool symmetric = mask.is_square() && rows == cols;
    return {checked("rows", std::move(rows)), checked("columns", std::move(cols)), symmetric};
  }

 private:
  static Permutation checked(const char* side, std::vector<std::int32_t> new_to_old) {
    try {
      return Permutation(std::move(new_to_old));
    } catch (const Error& error) {
      throw Error(ErrorCode::not_a_permutation, std::string("the plugin's order of the ") + side +
                                                    " is no permutation: " + error.what());
    }
  }

  reorder_plugin_strategy plugin_;
  StrategyInfo info_;
};

/// The strategies that `plugin` offers, every field checked that will be used.
std::vector<std::shared_ptr<const Strategy>> strategies_of(const reorder_plugin* plugin,
                                                           const std::filesystem::path& file) {
  if (plugin == nullptr) fail(file, "returned no description from blockfill_plugin()");
  if (plugin->abi != REORDER_PLUGIN_ABI) {
    fail(file, "has ABI version " + std::to_string(plugin->abi) + "; this program speaks version " +
                   std::to_string(REORDER_PLUGIN_ABI) +
                   ", so it must be built against its plugin.h");
  }
  if (!reaches(plugin->struct_size, end_of<std::size_t>(offsetof(reorder_plugin, n_strategies)))) {
    fail(file, "describes itself in " + std::to_string(plugin->struct_size) +
                   " bytes, fewer than ABI version 1 has");
  }
  if (plugin->n_strategies == 0 || plugin->strategies == nullptr) fail(file, "has no strategies");

  std::vector<std::shared_ptr<const Strategy>> result;
  for (std::size_t i = 0; i < plugin->n_strategies; ++i) {
    const reorder_plugin_strategy* strategy = plugin->strategies[i];
    const std::string which = "strategy " + std::to_string(i);
    if (strategy == nullptr) fail(file, "has a null pointer for " + which);
    if (!reaches(strategy->struct_size, end_of<void*>(offsetof(reorder_plugin_strategy, user)))) {
      fail(file, "describes " + which + " in " + std::to_string(strategy->struct_size) +
                     " bytes, fewer than ABI version 1 has");
    }
    if (strategy->name == nullptr) fail(file, "gives no name to " + which);
    if (!is_name(strategy->name)) {
      fail(file, "calls " + which + " '" + strategy->name + "'; names are [a-z][a-z0-9_]*");
    }
    if (strategy->summary == nullptr) {
      fail(file, std::string("gives no summary for '") + strategy->name + "'");
    }
    if (strategy->order == nullptr) {
      fail(file, std::string("gives no function for '") + strategy->name + "'");
    }
    result.push_back(std::make_shared<PluginStrategy>(*strategy, file));
  }
  return result;
}

}  // namespace

std::vector<std::string> Registry::load_plugin(const std::filesystem::path& file) {
  // A path without a slash would be looked for in the system's library folders.
  std::error_code error;
  const std::filesystem::path full = std::filesystem::absolute(file, error);
  if (error || !std::filesystem::exists(full, error)) fail(file, "does not exist");
  // Local: two plugins may use the same names inside. Never closed: strategies point into it.
  void* handle = ::dlopen(full.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) fail(file, std::string("does not load: ") + ::dlerror());
  void* symbol = ::dlsym(handle, kSymbol);
  if (symbol == nullptr) fail(file, std::string("does not export ") + kSymbol + "()");

  const auto describe = reinterpret_cast<blockfill_plugin_fn>(symbol);
  auto strategies = strategies_of(describe(), file);
  Registry extended = *this;  // all of a plugin's strategies or none
  std::vector<std::string> names;
  for (auto& strategy : strategies) {
    names.push_back(strategy->info().name);
    try {
      extended.add(std::move(strategy));
    } catch (const Error& taken) {
      fail(file, std::string("cannot be added: ") + taken.what());
    }
  }
  *this = std::move(extended);
  return names;
}

std::vector<std::string> Registry::load_plugins_from_path(std::string_view folders) {
  std::vector<std::string> names;
  while (!folders.empty()) {
    const std::size_t colon = folders.find(':');
    const std::filesystem::path folder(folders.substr(0, colon));
    folders.remove_prefix(colon == std::string_view::npos ? folders.size() : colon + 1);
    if (folder.empty()) continue;

    std::error_code error;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      if (entry.path().extension() == ".so") files.push_back(entry.path());
    }
    if (error) {
      throw Error(ErrorCode::plugin,
                  "cannot read the plugin folder '" + folder.string() + "': " + error.message());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
      for (std::string& name : load_plugin(file)) names.push_back(std::move(name));
    }
  }
  return names;
}

}  // namespace reorder

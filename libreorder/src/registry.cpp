// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include "names.hpp"
#include "reorder/error.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {

#define STRATEGY(name) std::shared_ptr<const Strategy> make_##name();
#include "strategies/builtin.def"
#undef STRATEGY

Registry Registry::with_builtins() {
  Registry registry;
#define STRATEGY(name) registry.add(make_##name());
#include "strategies/builtin.def"
#undef STRATEGY
  return registry;
}

void Registry::add(std::shared_ptr<const Strategy> strategy) {
  const std::string& name = strategy->info().name;
  if (!is_name(name)) {
    throw Error(ErrorCode::invalid_argument,
                "'" + name + "' cannot name a strategy; names are [a-z][a-z0-9_]*");
  }
  const bool taken =
      name == kBestOf || std::any_of(strategies_.begin(), strategies_.end(),
                                     [&](const auto& known) { return known->info().name == name; });
  if (taken) {
    throw Error(ErrorCode::invalid_argument, "there already is a strategy '" + name + "'");
  }
  strategies_.push_back(std::move(strategy));
}

std::shared_ptr<const Strategy> Registry::find(std::string_view name) const {
  std::vector<std::string> names{kBestOf};
  for (const auto& strategy : strategies_) {
    const StrategyInfo& info = strategy->info();
    names.push_back(info.name);
    if (info.name != name) continue;
    if (!info.unavailable.empty()) {
      throw Error(ErrorCode::unavailable, info.name + " is unavailable: " + info.unavailable);
    }
    return strategy;
  }
  const std::string nearest = nearest_name(name, names);
  throw Error(ErrorCode::unknown_name,
              "there is no strategy '" + std::string(name) + "'" +
                  (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
}

}  // namespace reorder

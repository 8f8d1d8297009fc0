// SPDX-License-Identifier: Apache-2.0
//
// A plugin that does one thing wrong; which, is said by BAD_PLUGIN at build time.
#include <array>
#include <cstdio>
#include <stdexcept>
#include <string_view>

#include "reorder/plugin.h"

namespace {

constexpr std::string_view kCase = BAD_PLUGIN;

int32_t order(const reorder_mask* mask, const char*, int32_t* rows, int32_t* cols, char* error,
              size_t error_size, void*) {
  if (kCase == "fails") {
    std::snprintf(error, error_size, "%d rows are one too many for me", mask->n_rows);
    return 42;
  }
  if (kCase == "fails_silently") return 43;
  if (kCase == "throws") throw std::runtime_error("no memory for the rows");
  if (kCase == "throws_a_number") throw 7;
  for (int32_t i = 0; i < mask->n_rows; ++i) rows[i] = i;
  for (int32_t j = 0; j < mask->n_cols; ++j) cols[j] = j;
  if (kCase == "repeats" && mask->n_rows > 1) rows[1] = 0;
  if (kCase == "forgets" && mask->n_cols > 0) cols[mask->n_cols - 1] = -1;
  return 0;
}

reorder_plugin_strategy make_strategy() {
  reorder_plugin_strategy strategy{
      sizeof(reorder_plugin_strategy), "bad", "a test's", 1, order, nullptr};
  if (kCase == "null_name") strategy.name = nullptr;
  if (kCase == "wrong_name") strategy.name = "Not A Name";
  if (kCase == "taken_name") strategy.name = "rcm";
  if (kCase == "null_summary") strategy.summary = nullptr;
  if (kCase == "null_order") strategy.order = nullptr;
  if (kCase == "short_strategy") strategy.struct_size = 8;
  if (kCase == "squares_only") strategy.rectangular = 0;
  return strategy;
}

const reorder_plugin_strategy kStrategy = make_strategy();
const std::array<const reorder_plugin_strategy*, 2> kStrategies{
    &kStrategy, kCase == "null_strategy" ? nullptr : &kStrategy};

reorder_plugin make_plugin() {
  reorder_plugin plugin{REORDER_PLUGIN_ABI, sizeof(reorder_plugin), kStrategies.data(), 1};
  if (kCase == "other_abi") plugin.abi = 99;
  if (kCase == "short_plugin") plugin.struct_size = 8;
  if (kCase == "no_strategies") plugin.n_strategies = 0;
  if (kCase == "null_strategy") plugin.n_strategies = 2;
  return plugin;
}

const reorder_plugin kPlugin = make_plugin();

}  // namespace

#ifdef BAD_PLUGIN_WITHOUT_SYMBOL
extern "C" const reorder_plugin* another_name() {
  return &kPlugin;
}
#else
extern "C" const reorder_plugin* blockfill_plugin(void) {
  return kCase == "null_description" ? nullptr : &kPlugin;
}
#endif

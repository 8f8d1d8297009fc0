// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "experiments/exit_code.hpp"
#include "experiments/fields.hpp"
#include "experiments/plugins.hpp"
#include "experiments/problem.hpp"
#include "experiments/timing.hpp"
#include "reorder/pipeline.hpp"

namespace experiments {

/// What a command does once the whole command line has been understood.
using Action = std::function<ExitCode()>;

// Each command adds itself to the program and, when it is chosen, sets the action.
void add_list(CLI::App& app, Action& action);
void add_reorder(CLI::App& app, Action& action);
void add_fill(CLI::App& app, Action& action);
void add_predict(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_sweep(CLI::App& app, Action& action);
void add_calibrate(CLI::App& app, Action& action);
void add_table(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);

/// Options that every command has.
struct CommonOptions {
  bool json = false;
  std::uint64_t seed = 0;
  int threads = 0;  ///< 0: all
  std::vector<std::string> plugins;

  [[nodiscard]] int thread_count() const;
  [[nodiscard]] reorder::Registry registry(PluginFiles* files = nullptr) const;
};
void add_common(CLI::App& command, CommonOptions& options);

/// A check for CLI11's numbers: CLI::Range lets a NaN pass.
[[nodiscard]] CLI::Validator number_within(double low, double high);

/// The same for whole numbers: CLI::Range compares as doubles, and strtoull wraps a minus sign.
[[nodiscard]] CLI::Validator whole_within(std::uint64_t low, std::uint64_t high);

/// A check for a word out of a few, with the nearest of them.
[[nodiscard]] CLI::Validator one_of(std::vector<std::string> names);

/// A check for names of files that are written: "" would leave them out without a word.
[[nodiscard]] CLI::Validator not_empty();

/// Throws Error{bad_file} where no file can be made: told before minutes of work, not after.
void require_creatable(const std::string& file);

/// Adds a command whose options live as long as its action.
template <class Options, class AddOptions>
void add_command(CLI::App& app, Action& action, const char* name, const char* summary,
                 ExitCode (*run)(const Options&), AddOptions&& add_options) {
  CLI::App* command = app.add_subcommand(name, summary);
  const auto options = std::make_shared<Options>();
  add_options(*command, *options);
  add_common(*command, options->common);
  command->callback([&action, options, run] { action = [options, run] { return run(*options); }; });
}

/// --objective, --cost-model, --budget: what an ordering should lower and spend.
void add_ordering_options(CLI::App& command, Problem& problem);

/// MASK, which is required.
void add_mask_option(CLI::App& command, std::string& mask);

/// --batch, --heads, --kv-heads, --head-dim, --dtype, --tile, --backend: the attention to run.
void add_attention_options(CLI::App& command, Problem& problem);

void print_json(const Json& json);

}  // namespace experiments

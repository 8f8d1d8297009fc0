// SPDX-License-Identifier: Apache-2.0
#include "experiments/sweep.hpp"

#include <unistd.h>

#include <iostream>
#include <set>

#include "experiments/cli/command.hpp"
#include "experiments/interrupt.hpp"

namespace experiments {
namespace {

struct SweepCommand {
  CommonOptions common;
  std::vector<std::string> configs;
  std::vector<std::string> overrides;
  std::string output;
  std::string budget;
  std::string cost_model;
  SweepOptions options;
};

int pending(const SweepConfig& config, const RecordFile& file, const SweepOptions& options) {
  const auto done = finished(config, file.earlier(), options);
  return static_cast<int>(std::count(done.begin(), done.end(), false));
}

/// Earlier records of other sources stay in the table; the reader should know.
void tell_of_earlier(const RecordFile& file, const std::string& name) {
  if (file.was_torn()) {
    std::cerr << "blockfill: " << name << ": the last line was torn and has been cut off\n";
  }
  std::set<std::string> commits;
  for (const Record& record : file.earlier()) commits.insert(record.environment.commit);
  commits.erase(environment().commit);
  if (!commits.empty()) {
    std::cerr << "blockfill: " << name << " holds records of another commit (" << *commits.begin()
              << "); --rerun measures them again\n";
  }
}

ExitCode exit_code(const SweepSummary& summary) {
  if (summary.interrupted) return ExitCode::interrupted;
  if (summary.mismatches > 0) return ExitCode::mismatch;
  if (summary.failed > 0) return ExitCode::failure;
  return summary.no_device > 0 ? ExitCode::no_device : ExitCode::ok;
}

std::string count_text(int count, const char* what) {
  return std::to_string(count) + " " + what;
}

ExitCode sweep(const SweepCommand& command) {
  PluginFiles plugins;
  const auto registry = command.common.registry(&plugins);
  Problem defaults;
  defaults.seed = command.common.seed;
  defaults.threads = command.common.thread_count();
  defaults.budget = command.budget;
  defaults.cost_model = command.cost_model;
  std::vector<SweepConfig> parts;
  for (const std::string& file : command.configs) {
    parts.push_back(read_sweep_config(file, command.overrides, defaults, registry, plugins));
  }
  const SweepConfig config = joined(parts);
  RecordFile file(command.output);
  tell_of_earlier(file, command.output);

  const InterruptGuard interrupt;
  SweepSummary summary;
  {
    Progress progress(std::cerr, ::isatty(STDERR_FILENO) == 1,
                      pending(config, file, command.options));
    summary = run_sweep(
        config, file, registry, command.options, [&] { return interrupt.interrupted(); }, progress);
  }
  if (command.common.json) {
    print_json({{"output", command.output},
                {"total", summary.total},
                {"skipped", summary.skipped},
                {"measured", summary.measured},
                {"mismatches", summary.mismatches},
                {"failed", summary.failed},
                {"too_large", summary.too_large},
                {"no_device", summary.no_device},
                {"interrupted", summary.interrupted}});
  } else {
    std::cout << command.output << ": " << count_text(summary.measured, "measured") << ", "
              << count_text(summary.skipped, "there before") << ", "
              << count_text(summary.failed, "failed") << ", "
              << count_text(summary.mismatches, "wrong")
              << (summary.too_large > 0 ? ", " + count_text(summary.too_large, "above max_n") : "")
              << (summary.no_device > 0 ? ", " + count_text(summary.no_device, "without a device")
                                        : "")
              << ", of " << summary.total << '\n';
  }
  if (summary.interrupted) {
    std::cerr << "blockfill: interrupted; the same command goes on from here\n";
  }
  return exit_code(summary);
}

}  // namespace

void add_sweep(CLI::App& app, Action& action) {
  add_command<SweepCommand>(
      app, action, "sweep", "Measure masks x pipelines x backends, as a JSON file describes them",
      sweep, [](CLI::App& command, SweepCommand& options) {
        command
            .add_option("configs", options.configs,
                        "What to measure; of several, what concerns one mask side by side")
            ->required()
            ->type_name("CONFIG.json");
        command
            .add_option("--set", options.overrides,
                        "Put another value in the place of a key of the configuration, "
                        "\"backends=hopper\" or \"n=[1024,4096]\" (may be repeated)")
            ->type_name("KEY=VALUE")
            ->allow_extra_args(false);
        command
            .add_option("-o,--output", options.output,
                        "The JSON Lines file that records are appended to; those it holds already "
                        "are not measured again")
            ->required()
            ->type_name("RESULTS.jsonl");
        command
            .add_option("--budget", options.budget,
                        "What `auto` may spend where the configuration does not say: 5s or work:N")
            ->type_name("BUDGET");
        command
            .add_option("--cost-model", options.cost_model,
                        "The calibration of this machine, where the configuration does not say")
            ->type_name("FILE");
        command.add_flag("--retry-failed", options.options.retry_failed,
                         "Measure what failed before again");
        command.add_flag("--rerun", options.options.rerun, "Measure everything again");
      });
}

}  // namespace experiments

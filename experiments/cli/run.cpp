// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "experiments/cli/command.hpp"
#include "experiments/cli/report.hpp"
#include "experiments/experiment.hpp"
#include "experiments/parameters.hpp"
#include "experiments/record_file.hpp"
#include "experiments/sweep_config.hpp"

namespace experiments {
namespace {

struct RunOptions {
  CommonOptions common;
  Problem problem;
  Repeats repeats;
  std::string verify = "auto";
  double tolerance = 1;
  std::string mask_build = "host";
  std::string output;
};

ExitCode run(const RunOptions& options) {
  PluginFiles plugins;
  const auto registry = options.common.registry(&plugins);
  Problem problem = options.problem;
  problem.seed = options.common.seed;
  problem.threads = options.common.thread_count();
  if (problem.kv_heads == 0) problem.kv_heads = problem.heads;
  const MeasureOptions measure_options{
      options.repeats, parse_scope(options.verify), options.tolerance,
      options.mask_build == "device" ? MaskBuild::device : MaskBuild::host};
  // Misspelt names are told before a large mask is made.
  validate(problem, measure_options.mask_build);
  (void)reorder::Pipeline::parse(problem.pipeline, registry);

  std::optional<RecordFile> file;
  if (!options.output.empty()) file.emplace(options.output);
  TensorCache tensors;
  Workload workload(masks::make(problem.mask), tensors);
  const auto inputs = InputFiles(registry, plugins).of(problem);
  Record record = measure(problem, workload, registry, measure_options);
  record.inputs = inputs;
  if (options.common.json) {
    print_json(to_json(record));
  } else {
    std::cout << describe(workload.mask()) << describe(record);
  }
  if (file) file->append(record);
  return record.status == "mismatch" ? ExitCode::mismatch : ExitCode::ok;
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  add_command<RunOptions>(
      app, action, "run", "Order one mask, run attention both ways, verify and time it", run,
      [](CLI::App& command, RunOptions& options) {
        Problem& problem = options.problem;
        problem.kv_heads = 0;
        add_mask_option(command, problem.mask);
        command.add_option("-p,--pipeline", problem.pipeline, "How to order it")
            ->capture_default_str();
        add_ordering_options(command, problem);
        add_attention_options(command, problem);
        command
            .add_option("--kernel-tile", problem.kernel_tile,
                        "Queries x keys that the forward kernel computes in, where the backend has "
                        "several (default: by the mask)")
            ->type_name("TILE");
        command
            .add_option("--gradients", problem.gradients,
                        "How the backward pass makes them: unordered, two-pass, one-pass or "
                        "one-pass-unordered (default: the same bits on every run, by the mask)")
            ->type_name("WAY");
        command.add_option("--repeats", options.repeats.minimum, "Fewest timed rounds")
            ->capture_default_str()
            ->check(whole_within(1, 1000000));
        command.add_option("--min-time", options.repeats.seconds, "Seconds of timed rounds")
            ->capture_default_str()
            ->check(number_within(0, 3600));
        command.add_option("--verify", options.verify, "auto, whole or none: what fp64 recomputes")
            ->capture_default_str();
        command
            .add_option("--tolerance", options.tolerance,
                        "Allowed errors, as a multiple of the usual ones")
            ->capture_default_str()
            ->check(number_within(0, 1e6));
        command
            .add_option("--mask-build", options.mask_build,
                        "host, or device: the backend builds lists and bits from CSR in its memory")
            ->capture_default_str()
            ->check(one_of({"host", "device"}));
        command
            .add_option("-o,--output", options.output, "Append the record to this JSON Lines file")
            ->type_name("FILE")
            ->check(not_empty());
      });
}

}  // namespace experiments

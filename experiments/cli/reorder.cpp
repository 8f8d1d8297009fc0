// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <iostream>

#include "experiments/cli/command.hpp"
#include "experiments/cli/report.hpp"
#include "experiments/parameters.hpp"
#include "experiments/text.hpp"
#include "masks/mask.hpp"
#include "reorder/npy.hpp"

namespace experiments {
namespace {

struct ReorderOptions {
  CommonOptions common;
  Problem problem;
  std::string output;
  std::string mask_output;
};

/// "out.npy" for one order, "out.rows.npy" and "out.cols.npy" for two. Each file is whole or not
/// there.
std::vector<std::string> write_ordering(const std::filesystem::path& file,
                                        const reorder::Ordering& ordering) {
  if (ordering.symmetric) {
    reorder::write_indices(file, ordering.rows.new_to_old());
    return {file.string()};
  }
  const auto with = [&](const char* side) {
    auto path = file;
    path.replace_extension();
    path += side;
    path += file.extension();
    return path;
  };
  reorder::write_indices(with(".rows"), ordering.rows.new_to_old());
  reorder::write_indices(with(".cols"), ordering.cols.new_to_old());
  return {with(".rows").string(), with(".cols").string()};
}

/// What would fail only after the ordering, which may take minutes.
void check_outputs(const ReorderOptions& options) {
  for (const auto& file : {options.output, options.mask_output}) {
    if (!file.empty()) require_creatable(file);
  }
  if (options.mask_output.empty()) return;
  masks::check_ending(options.mask_output);
  if (options.output == options.mask_output) {
    throw UsageError("--output and --mask-output both name " + options.output);
  }
}

ExitCode reorder_mask(const ReorderOptions& options) {
  check_outputs(options);
  const auto registry = options.common.registry();
  Problem problem = options.problem;
  problem.seed = options.common.seed;
  problem.threads = options.common.thread_count();
  const auto pipeline = reorder::Pipeline::parse(problem.pipeline, registry);
  const reorder::Context context = context_of(problem);
  const masks::Mask mask = masks::make(problem.mask);
  const auto result = pipeline.run(mask.pattern, context);
  const auto& report = result.report;
  std::vector<std::string> files;
  if (!options.output.empty()) files = write_ordering(options.output, result.ordering);
  if (!options.mask_output.empty()) {
    masks::write(options.mask_output, reorder::permute(mask.pattern, result.ordering));
    files.push_back(options.mask_output);
  }

  if (options.common.json) {
    print_json({{"mask", mask.name},
                {"note", mask.note},
                {"seed", report.seed},
                {"threads", context.threads},
                {"ordering", encode(ordering_facts(result))},
                {"tile", to_string(report.before.tile)},
                {"before", encode(tile_facts(report.before))},
                {"after", encode(tile_facts(report.after))},
                {"lower_bound", report.lower_bound},
                {"seconds", report.seconds},
                {"files", files}});
    return ExitCode::ok;
  }
  std::cout << describe(mask) << describe(ordering_facts(result), report.seconds)
            << labelled("tiles", grouped(report.before.nonempty) + " → " +
                                     grouped(report.after.nonempty) + " of " +
                                     to_string(report.before.tile) + ", no order has fewer than " +
                                     grouped(report.lower_bound))
            << labelled("full", grouped(report.before.full) + " → " + grouped(report.after.full));
  for (const auto& file : files) std::cout << labelled("written", file);
  return ExitCode::ok;
}

}  // namespace

void add_reorder(CLI::App& app, Action& action) {
  add_command<ReorderOptions>(
      app, action, "reorder", "Order a mask and write the permutation", reorder_mask,
      [](CLI::App& command, ReorderOptions& options) {
        Problem& problem = options.problem;
        add_mask_option(command, problem.mask);
        command.add_option("-p,--pipeline", problem.pipeline, "How to order it")->required();
        command.add_option("-t,--tile", problem.tile, "Queries x keys of a tile")
            ->capture_default_str();
        add_ordering_options(command, problem);
        command.add_option("-b,--backend", problem.backend, "Whose costs, with --cost-model")
            ->capture_default_str();
        command.add_option("--head-dim", problem.head_dim, "Width of a head, with --cost-model")
            ->capture_default_str();
        command.add_option("--dtype", problem.dtype, "f32, f16 or bf16, with --cost-model")
            ->capture_default_str();
        command
            .add_option("-o,--output", options.output,
                        "Write the order, new to old, as OUT.npy, or OUT.rows.npy and OUT.cols.npy "
                        "where queries and keys differ; text when the ending is not .npy")
            ->type_name("OUT.npy")
            ->check(not_empty());
        command
            .add_option("--mask-output", options.mask_output,
                        "Write the mask in its new order: .npz for scipy, .mtx, .mtx.gz or .npy")
            ->type_name("FILE")
            ->check(not_empty());
      });
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/calibrate.hpp"

#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "experiments/cli/command.hpp"
#include "experiments/cli/report.hpp"
#include "experiments/parameters.hpp"
#include "experiments/text.hpp"

namespace experiments {
namespace {

struct CalibrateCommand {
  CommonOptions common;
  CalibrateOptions options;
  std::string output;
  bool orderings = true;
};

constexpr double kPoorFit = 0.9;  // an idle machine reaches 0.99

std::string microseconds(double ms) {
  return three_digits(1e3 * ms) + " µs";
}

std::string describe(const CallCost& c) {
  const std::string steps =
      c.step == c.part ? "" : ", " + microseconds(c.t_step) + " a step of " + c.step;
  return labelled("a call",
                  microseconds(c.t_call) + ", and for each head " + microseconds(c.t_full) +
                      " a full " + c.part + ", " + microseconds(c.t_partial) + " a partial one" +
                      steps + ", " + microseconds(c.t_row) + " a row" +
                      (c.rows_at_once > 0 ? "; " + fixed(c.rows_at_once, 0) + " rows go on at once"
                                          : "")) +
         labelled("fit", "R² " + fixed(c.r2, 4) + ", worst residual " + fixed(100 * c.worst, 1) +
                             "%, for `predict`");
}

std::string describe(const BackendCost& c) {
  return c.backend + ", " + c.dtype + ", D=" + std::to_string(c.head_dim) + ", " +
         std::to_string(c.threads) + (c.threads == 1 ? " thread, " : " threads, ") + c.device +
         "\n" + labelled("t_full", microseconds(c.t_full) + " a full tile of " + c.tile) +
         labelled("t_partial", microseconds(c.t_partial) + " a partial one") +
         labelled("t_row", microseconds(c.t_row) + " a row of tiles") +
         labelled("t_gather",
                  three_digits(1e6 * c.t_gather) + " ns a row of Q, K, V or O out of its place") +
         labelled("fit", std::to_string(c.masks) + " masks, R² " + fixed(c.r2, 4) +
                             ", worst residual " + fixed(100 * c.worst, 1) + "%") +
         (c.call ? describe(*c.call) : "") +
         ((c.call ? c.call->r2 : c.r2) < kPoorFit
              ? labelled("careful", "the fit explains little: was the machine busy?")
              : "");
}

ExitCode calibrate(const CalibrateCommand& command) {
  CalibrateOptions options = command.options;
  Problem& setting = options.setting;
  setting.seed = command.common.seed;
  setting.threads = command.common.thread_count();
  if (setting.kv_heads == 0) setting.kv_heads = setting.heads;
  validate(setting);
  if (::isatty(STDERR_FILENO) == 1 && !command.common.json) {
    options.on_step = [](const std::string& step) { std::cerr << "  " << step << '\n'; };
  }
  // A file that cannot be used is told before a minute of measuring.
  Calibration calibration;
  const bool known = std::filesystem::exists(command.output);
  if (known) calibration = read_calibration(command.output);
  require_creatable(command.output);

  const BackendCost cost = calibrate_backend(options);
  add(calibration, cost);
  if (command.orderings) calibration.work_per_second = calibrate_orderings(options);
  write_calibration(command.output, calibration);
  if (command.common.json) {
    print_json(encode(calibration));
  } else {
    std::cout << describe(cost)
              << labelled("orderings", calibration.work_per_second > 0
                                           ? scientific(calibration.work_per_second, 2) +
                                                 " of work a second on one thread"
                                           : "not timed")
              << labelled("written",
                          command.output +
                              (calibration.costs.size() > 1
                                   ? ", " + std::to_string(calibration.costs.size()) + " settings"
                                   : ""));
  }
  return ExitCode::ok;
}

}  // namespace

void add_calibrate(CLI::App& app, Action& action) {
  add_command<CalibrateCommand>(
      app, action, "calibrate", "Measure what tiles, moved rows and orderings cost this machine",
      calibrate, [](CLI::App& command, CalibrateCommand& calibrate) {
        Problem& setting = calibrate.options.setting;
        setting.heads = 8;
        setting.kv_heads = 0;
        command
            .add_option("-o,--output", calibrate.output,
                        "The calibration, for --cost-model; costs of other settings that the file "
                        "holds are kept")
            ->required()
            ->type_name("FILE.json")
            ->check(not_empty());
        add_attention_options(command, setting);
        command.add_option("-n", calibrate.options.n, "Tokens of the masks")
            ->capture_default_str()
            ->check(whole_within(64, 1 << 20));
        command.add_option("--repeats", calibrate.options.repeats.minimum, "Fewest timed rounds")
            ->capture_default_str()
            ->check(whole_within(1, 1000000));
        command
            .add_option("--min-time", calibrate.options.repeats.seconds, "Seconds of timed rounds")
            ->capture_default_str()
            ->check(number_within(0, 3600));
        command.add_flag("--orderings,!--no-orderings", calibrate.orderings,
                         "Also time orderings, for what a second of --budget is worth");
      });
}

}  // namespace experiments

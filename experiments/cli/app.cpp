// SPDX-License-Identifier: Apache-2.0
#include "experiments/cli/app.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iostream>
#include <limits>
#include <new>
#include <system_error>

#include "experiments/build_info.hpp"
#include "experiments/cli/command.hpp"
#include "experiments/environment.hpp"
#include "experiments/plugins.hpp"
#include "experiments/text.hpp"
#include "reorder/files.hpp"

namespace experiments {
namespace {

constexpr const char* kFooter =
    "A MASK is a generator with modifiers, \"longformer(n=4096)|shuffle(seed=1)\", or a file "
    "(.mtx,\n"
    ".mtx.gz, .npz, .npy). A PIPELINE is a chain of strategies, \"peel(8)|rcm\" or\n"
    "\"best_of(natural,rcm,amd)\". `blockfill list` names them all.\n\n"
    "Exit codes: 0 success, 1 failure (a bad file, a full disk), 2 usage, 3 a result differs from "
    "the\n"
    "oracle, 77 no such device, 130 interrupted.";

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

/// The sentence for a word that the parser could not place.
std::string unexpected(const CLI::App& app, const std::string& word) {
  const auto chosen = app.get_subcommands();
  if (chosen.empty() && !word.starts_with('-')) {
    return "no command '" + word + "'" +
           did_you_mean_or(word, command_names(app), "`blockfill --help` lists them");
  }
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  const std::string name = chosen.empty() ? "" : command.get_name() + ": ";
  return name + "unexpected argument '" + word + "'" +
         did_you_mean(word.substr(0, word.find('=')), option_names(command));
}

std::string usage_sentence(const CLI::App& app, const CLI::ParseError& error) {
  const auto left = app.remaining(true);
  if (!left.empty()) return unexpected(app, left.front());
  if (app.get_subcommands().empty()) return "a command is required; `blockfill --help` lists them";
  return app.get_subcommands().front()->get_name() + ": " + error.what();
}

/// A sentence may hold what a file or a plugin held: a terminal would take control characters as
/// orders.
std::string printable(std::string text) {
  for (char& c : text) {
    if ((c >= 0 && c < ' ' && c != '\n') || c == '\x7f') c = '?';
  }
  return text;
}

ExitCode fail(const std::string& sentence, ExitCode code) {
  std::cerr << "blockfill: " << printable(sentence) << std::endl;
  return code;
}

/// Written results count only once they have left the program: stdout may be a full disk.
ExitCode flushed(ExitCode code) {
  std::cout.flush();
  if (std::cout) return code;
  return fail("cannot write to the standard output", ExitCode::failure);
}

}  // namespace

int CommonOptions::thread_count() const {
  return threads > 0 ? threads : usable_cpus();
}

reorder::Registry CommonOptions::registry(PluginFiles* files) const {
  return make_registry(plugins, files);
}

CLI::Validator number_within(double low, double high) {
  const auto check = [low, high](std::string& text) {
    double value = 0;
    const bool number = CLI::detail::lexical_cast(text, value);
    // A NaN compares false with both limits.
    if (number && value >= low && value <= high) return std::string();
    return "'" + text + "' is not a number from " + three_digits(low) + " to " + three_digits(high);
  };
  return {check, ""};
}

CLI::Validator whole_within(std::uint64_t low, std::uint64_t high) {
  const auto check = [low, high](std::string& text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    if (whole && value >= low && value <= high) return std::string();
    return "'" + text + "' is not a whole number from " + std::to_string(low) + " to " +
           std::to_string(high);
  };
  return {check, ""};
}

CLI::Validator one_of(std::vector<std::string> names) {
  const auto check = [names = std::move(names)](std::string& text) {
    if (std::find(names.begin(), names.end(), text) != names.end()) return std::string();
    std::string all;
    for (const auto& name : names) all += (all.empty() ? "there are " : ", ") + name;
    return "no '" + text + "'" + did_you_mean_or(text, names, all);
  };
  return {check, ""};
}

CLI::Validator not_empty() {
  return {[](std::string& text) { return text.empty() ? "the file's name is empty" : ""; }, ""};
}

void require_creatable(const std::string& file) {
  std::error_code unknown;
  const auto status = std::filesystem::status(file, unknown);
  using std::filesystem::file_type;
  // Opening a pipe would wait for its reader, and closing it again would send it away.
  if (status.type() == file_type::fifo || status.type() == file_type::character) return;
  (void)reorder::OutputFile(file);  // gone again, for it is not committed
}

void add_common(CLI::App& command, CommonOptions& options) {
  command.add_flag("--json", options.json, "Print JSON and nothing else");
  command.add_option("--seed", options.seed, "Seed of orderings and of random tensors")
      ->capture_default_str()
      ->check(whole_within(0, std::numeric_limits<std::uint64_t>::max()));
  command.add_option("--threads", options.threads, "CPU threads, 0 for all")
      ->capture_default_str()
      ->check(whole_within(0, 4096));
  command
      .add_option("--plugin", options.plugins,
                  "A shared object with strategies (may be repeated); also every .so in the "
                  "folders of REORDER_PLUGIN_PATH")
      ->type_name("FILE")
      ->allow_extra_args(false);  // one file an option, so that a mask may follow it
}

void add_mask_option(CLI::App& command, std::string& mask) {
  command.add_option("mask", mask, "A generator with modifiers, or a file")
      ->required()
      ->type_name("MASK");
}

void add_ordering_options(CLI::App& command, Problem& problem) {
  command.add_option("--objective", problem.objective,
                     "What the ordering should lower (default: the predicted time where "
                     "--cost-model is given, or the tiles of --tile)");
  command
      .add_option("--cost-model", problem.cost_model,
                  "The calibration of this machine, as `blockfill calibrate` writes it")
      ->type_name("FILE");
  command
      .add_option("--budget", problem.budget,
                  "What `auto` may spend: 0.3s, 5s or work:N, which replays a run (default: 5s)")
      ->type_name("BUDGET");
}

void add_attention_options(CLI::App& command, Problem& problem) {
  command.add_option("-b,--backend", problem.backend, "What runs the attention")
      ->capture_default_str();
  command.add_option("--pass", problem.pass, "fwd, bwd, or both one after the other")
      ->capture_default_str();
  command
      .add_option("--algorithm", problem.algorithm,
                  "How it walks the mask: lists, or what they are measured against: dense, naive, "
                  "bbm, dense_bbm")
      ->capture_default_str();
  command.add_option("-t,--tile", problem.tile, "Queries x keys of a tile")->capture_default_str();
  command.add_option("--batch", problem.batch, "Sequences")->capture_default_str();
  command.add_option("--heads", problem.heads, "Query heads")->capture_default_str();
  command.add_option("--kv-heads", problem.kv_heads, "Key and value heads (default: as many)");
  command.add_option("--head-dim", problem.head_dim, "Width of a head")->capture_default_str();
  command.add_option("--scale", problem.scale, "Of Q K^T (default: 1/sqrt(head dim))");
  command.add_option("--dtype", problem.dtype, "f32, f16 or bf16")->capture_default_str();
}

void print_json(const Json& json) {
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

ExitCode run_program(int argc, char** argv) {
  CLI::App app{
      "Orders attention masks for few tiles and runs exact attention that visits only those."};
  app.name("blockfill");
  app.set_version_flag("--version", std::string("blockfill ") + build_info::kVersion + " (" +
                                        build_info::kCommit + ")");
  app.footer(kFooter);
  app.require_subcommand(1);
  Action action;
  for (const auto add : {add_list, add_reorder, add_fill, add_run, add_predict, add_sweep,
                         add_calibrate, add_table, add_doctor}) {
    add(app, action);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    (void)app.exit(help, std::cout, std::cerr);  // --help and --version
    return flushed(ExitCode::ok);
  } catch (const CLI::ParseError& error) {
    return fail(usage_sentence(app, error), ExitCode::usage);
  }
  try {
    return flushed(action());
  } catch (const std::bad_alloc&) {
    return fail("not enough memory", ExitCode::failure);
  } catch (const Json::exception& error) {
    return fail(sentence_of(error), ExitCode::failure);
  } catch (const std::exception& error) {
    return fail(error.what(), exit_code_of(error));
  }
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/table.hpp"

#include <filesystem>
#include <iostream>

#include "experiments/cli/command.hpp"
#include "experiments/paper/paper_table.hpp"
#include "experiments/record_file.hpp"
#include "experiments/text.hpp"
#include "reorder/files.hpp"

namespace experiments {
namespace {

struct TableOptions {
  CommonOptions common;
  std::vector<std::string> files;
  std::string format = "text";
  std::string output;
};

ExitCode table(const TableOptions& options) {
  const auto format = parse_table_format(options.format);
  // `table paper results.jsonl`: the paper's own tables.
  const bool paper = options.files.front() == "paper";
  const std::vector<std::string> files(options.files.begin() + (paper ? 1 : 0),
                                       options.files.end());
  if (!paper && !std::filesystem::exists(files.front())) {
    const std::string hint = did_you_mean(files.front(), std::vector<std::string>{"paper"});
    if (!hint.empty()) throw UsageError("table: no file '" + files.front() + "'" + hint);
  }
  if (files.empty()) throw UsageError("table paper: a results file is required");
  std::vector<Record> records;
  for (const auto& file : files) {
    for (auto& record : read_records(file)) records.push_back(std::move(record));
  }
  std::string text;
  if (options.common.json) {
    for (const Record& record : records) text += line_of(record);
  } else {
    text = paper ? paper::render(records, format) : render_table(records, format);
  }
  if (options.output.empty()) {
    std::cout << text;
  } else {
    reorder::write_file(options.output, text);
  }
  return ExitCode::ok;
}

}  // namespace

void add_table(CLI::App& app, Action& action) {
  add_command<TableOptions>(
      app, action, "table", "Show records as a table", table,
      [](CLI::App& command, TableOptions& options) {
        command
            .add_option(
                "results", options.files,
                "Files that run or sweep wrote; the word paper before them shows the tables "
                "of arXiv 2409.15097 with these results beside its own")
            ->required()
            ->type_name("RESULTS.jsonl");
        command.add_option("-f,--format", options.format, "text, markdown or csv")
            ->capture_default_str();
        command.add_option("-o,--output", options.output, "Write to a file")
            ->type_name("FILE")
            ->check(not_empty());
      });
}

}  // namespace experiments

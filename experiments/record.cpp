// SPDX-License-Identifier: Apache-2.0
#include "experiments/record.hpp"

#include <string_view>

#include "reorder/error.hpp"

namespace experiments {

namespace {

std::string cell(const Json& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// Calls leaf(column name, value) for every field that is not a list.
template <class Leaf>
void flatten(const Json& json, const std::string& prefix, Leaf&& leaf) {
  for (const auto& [name, value] : json.items()) {
    const std::string column = prefix.empty() ? name : prefix + "." + name;
    if (value.is_object()) {
      flatten(value, column, leaf);
    } else if (!value.is_array()) {
      leaf(column, value);
    }
  }
}

/// A record with every optional part present: its fields are the columns of the flat form.
Record complete() {
  Times all;
  all.permute = all.build_permuted = all.prepare_permuted = Timing{};
  all.gather = all.permuted = all.scatter = all.fused = Timing{};
  all.natural_passes = all.permuted_passes = all.fused_passes = PassTimes{};
  Record record;
  record.ms = all;
  record.saved_ms = Timing{};
  record.gradients = GradientVerification{};
  record.ordering.choice = ChoiceFacts{};
  record.walk = WalkFacts{};
  record.form = FormFacts{};
  return record;
}

}  // namespace

std::string key_of(const Problem& problem) {
  std::string key;
  fields(problem, [&](const char* name, const auto& value) {
    const std::string text = cell(encode(value));
    const auto is = [&](std::string_view one) { return one == name; };
    if (text.empty() &&
        (is("kernel_tile") || is("gradients") || is("cost_model") || is("budget") || is("scale")))
      return;
    key += (key.empty() ? "" : " ") + std::string(name) + "=" + text;
  });
  return key;
}

TileFacts tile_facts(const reorder::TileCounts& counts) {
  return {.row_tiles = counts.tile_rows,
          .nonempty = counts.nonempty,
          .full = counts.full,
          .partial = counts.partial(),
          .fill = counts.fill(),
          .imbalance = counts.imbalance()};
}

OrderingFacts ordering_facts(const reorder::Pipeline::Result& result) {
  const auto& [ordering, report] = result;
  OrderingFacts facts{.pipeline = report.pipeline,
                      .objective = report.objective,
                      .symmetric = ordering.symmetric,
                      .reordered = !ordering.rows.is_identity() || !ordering.cols.is_identity(),
                      .stages = {},
                      .candidates = {},
                      .choice = {}};
  for (const auto& stage : report.stages) {
    auto& s = facts.stages.emplace_back(StageFacts{stage.stage, 1e3 * stage.seconds, {}});
    if (stage.tiles) s.nonempty = stage.tiles->nonempty;
  }
  for (const auto& c : report.candidates) {
    facts.candidates.push_back(
        {c.pipeline, 1e3 * c.seconds, c.objective, c.error, c.chosen, c.work});
  }
  if (report.choice) {
    const auto& c = *report.choice;
    facts.choice = ChoiceFacts{c.work_limit, c.work, c.budget_cut, c.reason, c.features};
  }
  return facts;
}

Json to_json(const Record& record) {
  return encode(record);
}

Record from_json(const Json& json, const std::string& where) {
  const auto fail = [&](const std::string& what) {
    throw reorder::Error(reorder::ErrorCode::bad_file, where + ": " + what);
  };
  // What every schema version has; without it nobody could say what was measured.
  for (const char* field : {"schema_version", "status", "problem"}) {
    if (!json.is_object() || !json.contains(field)) {
      fail(std::string("not a record: no field ") + field);
    }
  }
  Record record;
  try {
    decode(json, record);
  } catch (const FieldError& error) {
    fail(std::string("not a record: ") + error.what());
  }
  if (record.problem.mask.empty()) fail("not a record: no field problem.mask");
  if (record.schema_version < 1 || record.schema_version > kSchemaVersion) {
    fail("schema version " + std::to_string(record.schema_version) + " is not one that this " +
         "program reads, 1 to " + std::to_string(kSchemaVersion));
  }
  // A record from before a field of the problem came has that field's default: its key is as if it
  // had been there.
  record.key = key_of(record.problem);
  return record;
}

std::vector<std::string> csv_header() {
  static const std::vector<std::string> header = [] {
    std::vector<std::string> columns;
    flatten(to_json(complete()), "",
            [&](const std::string& column, const Json&) { columns.push_back(column); });
    return columns;
  }();
  return header;
}

std::vector<std::string> csv_row(const Record& record) {
  Json values = Json::object();
  flatten(to_json(record), "",
          [&](const std::string& column, const Json& value) { values[column] = value; });
  std::vector<std::string> row;
  for (const auto& column : csv_header()) {
    row.push_back(values.contains(column) ? cell(values[column]) : "");
  }
  return row;
}

}  // namespace experiments

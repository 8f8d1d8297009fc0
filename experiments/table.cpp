// SPDX-License-Identifier: Apache-2.0
#include "experiments/table.hpp"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "experiments/exit_code.hpp"
#include "experiments/text.hpp"

namespace experiments {
namespace {

/// The records of which no later one has the key, in the order of the first of each key.
std::vector<const Record*> latest_of_each(const std::vector<Record>& records) {
  std::vector<const Record*> latest;
  std::unordered_map<std::string, std::size_t> places;
  for (const Record& record : records) {
    const auto [found, inserted] = places.try_emplace(record.key, latest.size());
    if (inserted) {
      latest.push_back(&record);
    } else {
      latest[found->second] = &record;
    }
  }
  return latest;
}

std::string arrow(const std::string& before, const std::string& after) {
  return before + " → " + after;
}

std::string percent(double share) {
  const double value = 100 * share;
  return fixed(value, value < 9.95 ? 1 : 0) + "%";
}

std::string break_even(const Record& r) {
  if (!r.ordering.reordered && !r.form) return "–";
  return r.break_even_calls ? grouped(*r.break_even_calls) : "never";
}

std::string name_of(const Record& record) {
  return record.label.empty() ? record.problem.mask : record.label;
}

/// Whether masks of several sizes have one name.
bool names_hide_sizes(const std::vector<const Record*>& records) {
  std::unordered_map<std::string, std::int64_t> sizes;
  return std::any_of(records.begin(), records.end(), [&](const Record* r) {
    return sizes.try_emplace(name_of(*r), r->mask.n_q).first->second != r->mask.n_q;
  });
}

/// Of O and, after a backward pass, of the gradients.
double max_error(const Record& r) {
  const double o = r.verification.max_error;
  if (!r.gradients) return o;
  return std::max({o, r.gradients->dq_error, r.gradients->dk_error, r.gradients->dv_error});
}

/// Natural → reordered by the fastest way, of one pass of a call that runs both.
std::string pass_ms(const Record& r, Timing PassTimes::*pass) {
  const Times& t = *r.ms;
  if (!t.natural_passes) return "";
  const std::string natural = three_digits((*t.natural_passes.*pass).median);
  const auto& best = r.best_path == "fused"      ? t.fused_passes
                     : r.best_path == "gathered" ? t.permuted_passes
                                                 : t.natural_passes;
  return arrow(natural, best ? three_digits((*best.*pass).median) : natural);
}

struct Column {
  const char* title;
  Align align;
  std::function<std::string(const Record&)> cell;
};

std::vector<Column> columns_for(const std::vector<const Record*>& records) {
  std::vector<Column> columns = {
      {"mask", Align::left, name_of},
      {"pipeline", Align::left, [](const Record& r) { return r.problem.pipeline; }}};
  if (names_hide_sizes(records)) {
    columns.push_back(
        {"queries", Align::right, [](const Record& r) { return grouped(r.mask.n_q); }});
  }
  const std::vector<Column> axes = {
      {"backend", Align::left, [](const Record& r) { return r.problem.backend; }},
      {"algorithm", Align::left, [](const Record& r) { return r.problem.algorithm; }},
      {"pass", Align::left, [](const Record& r) { return r.problem.pass; }},
      {"tile", Align::left, [](const Record& r) { return r.problem.tile; }},
      {"kernel tile", Align::left,
       [](const Record& r) {
         return r.problem.kernel_tile.empty() ? "by mask" : r.problem.kernel_tile;
       }},
      {"gradients", Align::left,
       [](const Record& r) {
         return r.problem.gradients.empty() ? "by mask" : r.problem.gradients;
       }},
      {"dtype", Align::left, [](const Record& r) { return r.problem.dtype; }},
      {"D", Align::right, [](const Record& r) { return std::to_string(r.problem.head_dim); }},
      {"B", Align::right, [](const Record& r) { return std::to_string(r.problem.batch); }},
      {"heads", Align::right, [](const Record& r) { return std::to_string(r.problem.heads); }},
      {"seed", Align::right, [](const Record& r) { return std::to_string(r.problem.seed); }}};
  for (const Column& axis : axes) {
    const auto differs = [&](const Record* r) { return axis.cell(*r) != axis.cell(*records[0]); };
    if (std::any_of(records.begin(), records.end(), differs)) columns.push_back(axis);
  }
  const std::vector<Column> results = {
      {"tiles", Align::right,
       [](const Record& r) {
         if (!r.form) return arrow(grouped(r.before.nonempty), grouped(r.after.nonempty));
         return arrow(grouped(r.before.nonempty), grouped(r.form->tiles) + " " + r.form->name);
       }},
      {"bound", Align::right, [](const Record& r) { return grouped(r.lower_bound); }},
      {"fill", Align::right,
       [](const Record& r) { return arrow(percent(r.before.fill), percent(r.after.fill)); }},
      {"ms per call", Align::right,
       [](const Record& r) {
         const double natural = r.ms->natural.median;
         return arrow(three_digits(natural), three_digits(r.permuted_call_ms.value_or(natural)));
       }},
      {"forward ms", Align::right, [](const Record& r) { return pass_ms(r, &PassTimes::forward); }},
      {"backward ms", Align::right,
       [](const Record& r) { return pass_ms(r, &PassTimes::backward); }},
      {"ordering ms", Align::right,
       [](const Record& r) { return three_digits(r.ms->ordering.median); }},
      {"break-even calls", Align::right, break_even},
      {"max error", Align::right, [](const Record& r) {
         if (r.verification.scope == "none") return std::string("not checked");
         const std::string error = scientific(max_error(r));
         return r.status == "mismatch" ? error + " WRONG" : error;
       }}};
  const auto filled = [&](const Column& column) {
    return std::any_of(records.begin(), records.end(),
                       [&](const Record* r) { return !column.cell(*r).empty(); });
  };
  std::copy_if(results.begin(), results.end(), std::back_inserter(columns), filled);
  return columns;
}

std::string explanation(const std::vector<const Record*>& records, bool markdown) {
  const Record& r = *records.front();
  const auto code = [&](const std::string& text) { return markdown ? "`" + text + "`" : text; };
  const bool mixed = std::any_of(records.begin(), records.end(), [&](const Record* other) {
    return other->problem.pass != r.problem.pass;
  });
  const auto [passes, moved] = [&]() -> std::pair<std::string, std::string> {
    if (mixed) return {"the passes of its row", "what they read and wrote"};
    if (r.problem.pass == "bwd") return {"the backward pass", "Q, K, V, O, dO and the gradients"};
    if (r.problem.pass == "both") return {"both passes", "what they read and wrote"};
    return {"attention", "Q, K, V and O"};
  }();
  const std::string shape =
      "B=" + std::to_string(r.problem.batch) + ", heads=" + std::to_string(r.problem.heads) +
      ", D=" + std::to_string(r.problem.head_dim) + ", " + r.problem.dtype + ", tiles of " +
      r.problem.tile + ", backend " + code(r.problem.backend) + ", " +
      std::to_string(r.problem.threads) + (r.problem.threads == 1 ? " thread" : " threads") + ", " +
      (r.environment.gpu.empty() ? r.environment.cpu : r.environment.gpu);
  return "Each cell \"a → b\" is the mask as it came → after the ordering. tiles: non-empty tiles, "
         "no permutation has fewer than\nthe bound. fill: how much of them is allowed. ms per "
         "call: " +
         passes + ", moving " + moved +
         " into and out of the order\nincluded. break-even: "
         "calls after which ordering has paid for itself. max error: against fp64.\n" +
         shape + ".\n";
}

/// What failed, one line each.
std::string failures(const std::vector<const Record*>& records, bool markdown) {
  std::string text;
  for (const Record* r : records) {
    text += std::string(markdown ? "- " : "") + "failed: " + r->problem.mask + " · " +
            r->problem.pipeline + " · " + r->problem.backend + ": " + r->error + "\n";
  }
  return text;
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    if (c > 0) line += ',';
    if (cells[c].find_first_of(",\"\r\n") == std::string::npos) {
      line += cells[c];
      continue;
    }
    line += '"';
    for (const char x : cells[c]) line += x == '"' ? std::string("\"\"") : std::string(1, x);
    line += '"';
  }
  return line + "\n";
}

std::string as_csv(const std::vector<Record>& records) {
  std::string out = csv_line(csv_header());
  for (const Record& record : records) out += csv_line(csv_row(record));
  return out;
}

}  // namespace

TableFormat parse_table_format(const std::string& text) {
  if (text == "text") return TableFormat::text;
  if (text == "markdown") return TableFormat::markdown;
  if (text == "csv") return TableFormat::csv;
  const std::vector<std::string> names = {"text", "markdown", "csv"};
  throw UsageError("no format '" + text + "'" +
                   did_you_mean_or(text, names, "there are text, markdown and csv"));
}

std::string render_table(const std::vector<Record>& records, TableFormat format) {
  if (format == TableFormat::csv) return as_csv(records);
  const bool markdown = format == TableFormat::markdown;
  std::vector<const Record*> measured;
  std::vector<const Record*> failed;
  for (const Record* r : latest_of_each(records)) {
    (r->ms && r->status != "failed" ? measured : failed).push_back(r);
  }
  std::string out;
  if (!measured.empty()) {
    const auto columns = columns_for(measured);
    std::vector<std::vector<std::string>> rows(1);
    std::vector<Align> align;
    for (const auto& column : columns) {
      rows[0].emplace_back(column.title);
      align.push_back(column.align);
    }
    std::string previous;
    for (const Record* r : measured) {
      auto& row = rows.emplace_back();
      for (const auto& column : columns) row.push_back(column.cell(*r));
      if (markdown) continue;
      // A mask's name once, above its pipelines.
      row[0] = elide(row[0], 44);
      row[1] = elide(row[1], 40);
      if (row[0] == previous) {
        row[0].clear();
      } else {
        previous = row[0];
      }
    }
    out += markdown ? markdown_table(rows, align) : align_columns(rows, align);
    out += "\n" + explanation(measured, markdown);
  }
  if (measured.empty() && failed.empty()) out += "no records\n";
  if (markdown && !measured.empty() && !failed.empty()) out += '\n';
  return out + failures(failed, markdown);
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/paper/paper_table.hpp"

#include <gtest/gtest.h>

#include <set>

#include "experiments/exit_code.hpp"
#include "experiments/paper/figures.hpp"
#include "experiments/support.hpp"
#include "experiments/sweep_config.hpp"
#include "masks/mask.hpp"

namespace experiments::paper {
namespace {

Record measured(const std::string& mask, const std::string& algorithm, double ms) {
  Record record = test::sample_record(mask);
  record.problem.algorithm = algorithm;
  record.key = key_of(record.problem);
  record.ms->natural.median = ms;
  record.permuted_call_ms.reset();
  return record;
}

/// The cells of the line of a Markdown table that begins with `mask`.
std::vector<std::string> row_of(const std::string& table, const std::string& mask) {
  const auto begin = table.find("| " + mask + " |");
  if (begin == std::string::npos) return {};
  std::vector<std::string> cells;
  std::string cell;
  for (std::size_t at = begin + 1; table[at] != '\n'; ++at) {
    if (table[at] != '|') {
      cell += table[at];
      continue;
    }
    const auto first = cell.find_first_not_of(' ');
    cells.push_back(first == std::string::npos
                        ? ""
                        : cell.substr(first, cell.find_last_not_of(' ') + 1 - first));
    cell.clear();
  }
  return cells;
}

TEST(PaperTable, RatiosAreOverTheFasterBaseline) {
  Record ordered = measured("longformer_paper(n=256)", "lists", 2);
  ordered.permuted_call_ms = 0.5;
  ordered.ms->ordering.median = 7;
  const std::string table =
      render({measured("dense(n=256)", "lists", 12), measured("dense(n=256)", "dense", 10),
              measured("longformer_paper(n=256)", "naive", 20),
              measured("longformer_paper(n=256)", "bbm", 5), ordered},
             TableFormat::markdown);
  // mask, FA, BBM and ratio of the paper; flash, naive, BBM, dense BBM, BBM+RCM, lists, ordered.
  EXPECT_EQ(row_of(table, "longformer_paper(n=256)"),
            (std::vector<std::string>{"longformer_paper(n=256)", "0.664", "0.575", "1.15x", "10.0",
                                      "20.0", "5.00", "", "", "2.00", "5.00x", "0.500", "20.00x",
                                      "7.00"}))
      << table;
  EXPECT_EQ(row_of(table, "longformer_paper(n=512)"),
            (std::vector<std::string>{"longformer_paper(n=512)", "2.06", "1.15", "1.79x", "", "",
                                      "", "", "", "", "", "", "", ""}))
      << "what was not measured stays empty";
  EXPECT_EQ(table.find("Medusa"), std::string::npos) << "a table without a record is left out";
}

TEST(PaperTable, SettingsStandApart) {
  Record half = measured("causal(n=8192)", "bbm", 3);
  Record wide = half;
  wide.problem.dtype = half.problem.dtype == "f16" ? "bf16" : "f16";
  const std::string table = render({half, wide}, TableFormat::text);
  EXPECT_NE(table.find(" " + half.problem.dtype + ","), std::string::npos) << table;
  EXPECT_NE(table.find(" " + wide.problem.dtype + ","), std::string::npos) << table;
}

TEST(PaperTable, NothingOfThePaperIsAnError) {
  EXPECT_THROW((void)render({measured("knn(n=64)", "lists", 1)}, TableFormat::text), UsageError);
  EXPECT_THROW((void)render({measured("causal(n=8192)", "lists", 1)}, TableFormat::csv),
               UsageError);
}

TEST(PaperTable, TheConfigurationsMeasureEveryMaskOfTheTables) {
  const std::filesystem::path folder = PAPER_CONFIGS;
  const auto registry = reorder::Registry::with_builtins();
  const auto masks_of = [&](const char* name) {
    std::set<std::string> masks;
    for (const auto& c : read_sweep_config(folder / name, {}, {}, registry).combinations) {
      masks.insert(c.problem.mask);
    }
    return masks;
  };
  const auto lists = masks_of("lists.json");
  const auto bbm = masks_of("bbm.json");
  const auto flash = masks_of("flash.json");
  const Json figures = Json::parse(kFigures);
  for (const Json& table : figures["tables"]) {
    for (const Json& row : table["rows"]) {
      const std::string mask = row["mask"];
      EXPECT_TRUE(lists.contains(mask) || flash.contains(mask)) << mask;
      EXPECT_TRUE(bbm.contains(mask)) << mask;
      EXPECT_TRUE(flash.contains(table["baseline"].get<std::string>() +
                                 "(n=" + std::to_string(row["n"].get<int>()) + ")"))
          << mask;
      masks::check(mask);
      // A printed ratio below 0.5 or above 30 would be a slip of the pen.
      if (row.contains("fa") && row.contains("bbm")) {
        const double ratio = row["fa"].get<double>() / row["bbm"].get<double>();
        EXPECT_TRUE(ratio > 0.5 && ratio < 30) << mask << ": " << ratio;
      }
    }
  }
}

TEST(PaperTable, TheMasksHaveTheSizesThatStandBesideThem) {
  const Json figures = Json::parse(kFigures);
  for (const Json& table : figures["tables"]) {
    for (const Json& row : table["rows"]) {
      if (row["n"].get<int>() > 1024) continue;  // the larger ones go the same way
      EXPECT_EQ(masks::make(row["mask"].get<std::string>()).pattern.n_rows(), row["n"].get<int>())
          << row["mask"];
    }
  }
}

}  // namespace
}  // namespace experiments::paper

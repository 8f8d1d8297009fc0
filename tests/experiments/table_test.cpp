// SPDX-License-Identifier: Apache-2.0
#include "experiments/table.hpp"

#include <gtest/gtest.h>

#include "experiments/exit_code.hpp"
#include "experiments/support.hpp"

namespace experiments {
namespace {

using test::sample_record;

TEST(Table, OneLineForEachKeyTheLatestOfIt) {
  Record first = sample_record();
  Record again = first;
  again.after.nonempty = 7777;
  const std::string table = render_table({first, again}, TableFormat::text);
  EXPECT_NE(table.find("4 → 7,777"), std::string::npos) << table;
  EXPECT_EQ(table.find("4 → 3 "), std::string::npos) << table;
}

TEST(Table, NamesAMaskOnceAboveItsPipelines) {
  Record a = sample_record();
  a.label = "causal";
  Record b = a;
  b.problem.pipeline = "amd";
  b.key = key_of(b.problem);
  b.break_even_calls.reset();
  const std::string table = render_table({a, b}, TableFormat::text);
  EXPECT_EQ(table.find("causal"), table.rfind("causal")) << table;
  EXPECT_NE(table.find("never"), std::string::npos) << table;
}

TEST(Table, SizesAreShownWhereALabelCoversSeveral) {
  Record small = sample_record("causal(n=64)");
  Record large = sample_record("causal(n=4096)");
  small.label = large.label = "causal";
  EXPECT_EQ(render_table({small}, TableFormat::text).find("queries"), std::string::npos);
  large.mask.n_q = 4096;
  const std::string table = render_table({small, large}, TableFormat::text);
  EXPECT_NE(table.find("queries"), std::string::npos) << table;
  EXPECT_NE(table.find("4,096"), std::string::npos) << table;
}

TEST(Table, FailuresStandBelow) {
  Record failed;
  failed.status = "failed";
  failed.error = "it needs a square mask";
  failed.problem.mask = "topics()";
  failed.key = key_of(failed.problem);
  const std::string table = render_table({sample_record(), failed}, TableFormat::text);
  EXPECT_NE(table.find("failed: topics() · natural · cpu: it needs a square mask"),
            std::string::npos)
      << table;
  EXPECT_EQ(render_table({}, TableFormat::text), "no records\n");
}

TEST(Table, PassesStandApartWhereACallRunsBoth) {
  const Record both = sample_record();
  const std::string table = render_table({both}, TableFormat::text);
  EXPECT_NE(table.find("forward ms"), std::string::npos) << table;
  EXPECT_NE(table.find("3.00 → 2.50"), std::string::npos) << table;
  EXPECT_NE(table.find("7.00 → 4.00"), std::string::npos) << table;
  Record forward = both;
  forward.problem.pass = "fwd";
  forward.ms->natural_passes = forward.ms->fused_passes = forward.ms->permuted_passes = {};
  EXPECT_EQ(render_table({forward}, TableFormat::text).find("forward ms"), std::string::npos);
}

TEST(Table, AWrongResultIsPrintedAsWrong) {
  Record wrong = sample_record();
  wrong.status = "mismatch";
  EXPECT_NE(render_table({wrong}, TableFormat::text).find("WRONG"), std::string::npos);
}

TEST(Table, MarkdownEscapesPipes) {
  const std::string table = render_table({sample_record()}, TableFormat::markdown);
  EXPECT_NE(table.find("| peel(8)\\|rcm |"), std::string::npos) << table;
  EXPECT_NE(table.find("--:"), std::string::npos) << table;
}

TEST(Table, CsvQuotesWhatNeedsIt) {
  const std::string table = render_table({sample_record()}, TableFormat::csv);
  EXPECT_TRUE(table.starts_with("schema_version,key,status,")) << table.substr(0, 80);
  EXPECT_NE(table.find("\"causal, \"\"quoted\"\"\""), std::string::npos) << table;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 2);
}

TEST(Table, FormatNames) {
  EXPECT_EQ(parse_table_format("csv"), TableFormat::csv);
  EXPECT_THROW((void)parse_table_format("cvs"), UsageError);
}

}  // namespace
}  // namespace experiments

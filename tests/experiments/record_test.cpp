// SPDX-License-Identifier: Apache-2.0
#include "experiments/record.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "experiments/support.hpp"
#include "reorder/error.hpp"

namespace experiments {
namespace {

using test::sample_record;

TEST(Record, RoundTripKeepsEveryField) {
  const Record record = sample_record();
  const Json json = to_json(record);
  const Record back = from_json(Json::parse(json.dump()), "here");
  EXPECT_EQ(to_json(back).dump(), json.dump());
  EXPECT_EQ(back.problem.seed, record.problem.seed) << "64-bit seeds survive";
}

TEST(Record, AbsentPartsAreNullAndComeBackAbsent) {
  Record record = sample_record();
  record.break_even_calls.reset();
  record.ms->fused.reset();
  const Json json = to_json(record);
  EXPECT_TRUE(json["break_even_calls"].is_null());
  EXPECT_TRUE(json["ms"]["fused"].is_null());
  const Record back = from_json(json, "here");
  EXPECT_FALSE(back.break_even_calls.has_value());
  EXPECT_FALSE(back.ms->fused.has_value());
  EXPECT_TRUE(back.ms->permuted.has_value());
}

TEST(Record, NumbersThatJsonLacksComeBackAsNaN) {
  Record record = sample_record();
  record.verification.max_error = std::numeric_limits<double>::infinity();
  const Record back = from_json(Json::parse(to_json(record).dump()), "here");
  EXPECT_TRUE(std::isnan(back.verification.max_error));
}

TEST(Record, FieldsOfAnotherVersionDoNotMatter) {
  Json json = to_json(sample_record());
  json["of_the_future"] = 1;
  json.erase("label");
  const Record back = from_json(json, "here");
  EXPECT_EQ(back.label, "");
  EXPECT_EQ(back.lower_bound, 2);
}

TEST(Record, AProblemFromBeforeAFieldCameHasItsDefaultAndTodaysKey) {
  Record record = sample_record();
  record.problem.pass = "fwd";
  Json json = to_json(record);
  json["problem"].erase("pass");
  json["key"] = "of that time";
  const Record back = from_json(json, "here");
  EXPECT_EQ(back.problem.pass, "fwd");
  EXPECT_EQ(back.key, key_of(record.problem));
}

TEST(Record, RefusesWhatIsNoRecord) {
  const auto message = [](const Json& json) {
    try {
      (void)from_json(json, "results.jsonl:7");
    } catch (const reorder::Error& error) {
      EXPECT_EQ(error.code(), reorder::ErrorCode::bad_file);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message(Json{{"a", 1}}), "results.jsonl:7: not a record: no field schema_version");
  EXPECT_EQ(message(Json{{"schema_version", 1}}), "results.jsonl:7: not a record: no field status");
  for (const char* field : {"status", "problem"}) {
    Json lacking = to_json(sample_record());
    lacking.erase(field);
    EXPECT_EQ(message(lacking), std::string("results.jsonl:7: not a record: no field ") + field);
  }
  Json nameless = to_json(sample_record());
  nameless["problem"].erase("mask");
  EXPECT_EQ(message(nameless), "results.jsonl:7: not a record: no field problem.mask");
  Json later = to_json(sample_record());
  later["schema_version"] = kSchemaVersion + 1;
  EXPECT_NE(message(later).find("schema version 2"), std::string::npos) << message(later);
  Json wrong = to_json(sample_record());
  wrong["lower_bound"] = "many";
  EXPECT_EQ(message(wrong),
            "results.jsonl:7: not a record: lower_bound holds \"many\", expected a number");
}

TEST(Record, KeysDifferWithEveryFieldOfTheProblem) {
  const Problem problem;
  const std::string key = key_of(problem);
  const auto changed = [&](auto change) {
    Problem other = problem;
    change(other);
    return key_of(other) != key;
  };
  EXPECT_TRUE(changed([](Problem& p) { p.mask = "x"; }));
  EXPECT_TRUE(changed([](Problem& p) { p.pipeline = "x"; }));
  EXPECT_TRUE(changed([](Problem& p) { p.backend = "x"; }));
  EXPECT_TRUE(changed([](Problem& p) { p.tile = "x"; }));
  EXPECT_TRUE(changed([](Problem& p) { p.objective = "x"; }));
  EXPECT_TRUE(changed([](Problem& p) { p.dtype = "x"; }));
  EXPECT_TRUE(changed([](Problem& p) { p.batch = 9; }));
  EXPECT_TRUE(changed([](Problem& p) { p.heads = 9; }));
  EXPECT_TRUE(changed([](Problem& p) { p.kv_heads = 9; }));
  EXPECT_TRUE(changed([](Problem& p) { p.head_dim = 9; }));
  EXPECT_TRUE(changed([](Problem& p) { p.seed = 9; }));
  EXPECT_TRUE(changed([](Problem& p) { p.threads = 9; }));
}

TEST(Record, FlatFormHasACellForEveryColumn) {
  const auto header = csv_header();
  Record sparse;
  sparse.status = "failed";
  for (const Record& record : {sample_record(), sparse}) {
    EXPECT_EQ(csv_row(record).size(), header.size());
  }
  const auto column = std::find(header.begin(), header.end(), "ms.fused.median");
  ASSERT_NE(column, header.end());
  EXPECT_EQ(csv_row(sample_record())[static_cast<std::size_t>(column - header.begin())], "6.5");
  EXPECT_EQ(csv_row(sparse)[static_cast<std::size_t>(column - header.begin())], "");
}

}  // namespace
}  // namespace experiments

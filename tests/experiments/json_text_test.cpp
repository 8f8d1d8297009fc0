// SPDX-License-Identifier: Apache-2.0
#include "experiments/json_text.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace experiments {
namespace {

std::string mistake(const std::string& text) {
  try {
    (void)parse_json(text, "c.json");
  } catch (const JsonError& error) {
    return error.what();
  }
  return "";
}

TEST(JsonText, IsReadWithItsComments) {
  const Json json = parse_json("{\"a\": // one\n [1, /* two */ 2]}", "c.json");
  EXPECT_EQ(json.dump(), R"({"a":[1,2]})");
}

TEST(JsonText, AMistakeHasAPlaceAndSaysWhatWasExpected) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\n\"heads\": 1,,\n}", "2:12: not JSON: expected a key in quotes, found ','"},
      {"{'a': 1}", "1:2: not JSON: expected a key in quotes, found '''"},
      {"{\"a\": nat}", "1:7: not JSON: expected a value, found 'nat'"},
      {"{\"a\": tru}", "1:7: not JSON: expected a value, found 'tru'"},
      {"{\"a\" 12}", "1:6: not JSON: expected ':' behind the key, found '12'"},
      {"{\"a\": 1 \"b\": 2}", "1:9: not JSON: expected ',' or '}', found '\"b\"'"},
      {"[1 2]", "1:4: not JSON: expected ',' or ']', found '2'"},
      {"[1, 2\n", "2:1: not JSON: expected ',' or ']', found the end"},
      {"{} {}", "1:4: not JSON: expected the end, found '{'"},
      {"", "1:1: not JSON: expected a value, found the end"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(mistake(text), std::string("c.json:") + expected) << text;
  }
}

TEST(JsonText, WhatIsBrokenIsShownWhereItBegins) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\"a\": \"b\n}", "1:7: not JSON: these quotes are not closed in their line"},
      {"{\"a\": \"b", "1:7: not JSON: these quotes are never closed"},
      {"{\"a\": \"\\\"b\\q\"}", "1:7: not JSON: this text has a backslash that means nothing"},
      {"{\"a\": \"\xFF\"}", "1:7: not JSON: this text is not UTF-8"},
      {"{\"a\": -}", "1:7: not JSON: this is no number"},
      {"{} # c", "1:4: not JSON: expected the end, found '#'"},
      {"{} /c", "1:4: not JSON: this begins no comment"},
      {"{} /* c / d", "1:4: not JSON: this comment is never closed"},
      {"{\"a\":\n 1e400}", "2:2: the number 1e400 is too large"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(mistake(text), std::string("c.json:") + expected) << text;
  }
}

TEST(JsonText, AKeyGivenTwice) {
  EXPECT_EQ(mistake(R"({"a": {"b": 1}, "b": 2})"), "");
  EXPECT_EQ(mistake(R"({"a": {"b": 1, "b": 2}})"), "c.json: the key 'b' is given twice");
}

/// Whatever stands in the text, the mistake has a place in it.
TEST(JsonText, AnyBytes) {
  const std::string whole =
      "{\"masks\": [\"causal(n=8)\", null], // c\n \"n\": -1.5e3, \"b\": true}";
  const std::string signs = "\"\\/*-1e.,:{}[]\n tn\xFF";
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    std::string text = whole.substr(0, random() % (whole.size() + 1));
    for (unsigned change = random() % 4; change > 0 && !text.empty(); --change) {
      text[random() % text.size()] = signs[random() % signs.size()];
    }
    const std::string what = mistake(text);
    ASSERT_TRUE(what.empty() || what.starts_with("c.json:")) << text << "\n" << what;
  }
}

}  // namespace
}  // namespace experiments

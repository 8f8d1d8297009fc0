// SPDX-License-Identifier: Apache-2.0
#include "experiments/text.hpp"

#include <gtest/gtest.h>

namespace experiments {
namespace {

TEST(Text, ThreeDigits) {
  EXPECT_EQ(three_digits(0), "0");
  EXPECT_EQ(three_digits(0.01234), "0.0123");
  EXPECT_EQ(three_digits(4.5678), "4.57");
  EXPECT_EQ(three_digits(45.678), "45.7");
  EXPECT_EQ(three_digits(1234.5), "1234");
  EXPECT_EQ(three_digits(2.5e8), "2.50e+08");
}

TEST(Text, Grouped) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
}

TEST(Text, WidthCountsCharactersNotBytes) {
  EXPECT_EQ(display_width("a → b"), 5U);
  EXPECT_EQ(elide("abcdefghij", 10), "abcdefghij");
  EXPECT_EQ(elide("abcdefghijk", 7), "abc…ijk");
  EXPECT_EQ(display_width(elide("→→→→→→→→→→", 6)), 6U);
}

TEST(Text, ColumnsAlign) {
  const std::vector<std::vector<std::string>> rows = {{"mask", "n"}, {"a→b", "10"}, {"c", "1,000"}};
  const std::vector<Align> align = {Align::left, Align::right};
  EXPECT_EQ(align_columns(rows, align),
            "mask      n\n"
            "----  -----\n"
            "a→b      10\n"
            "c     1,000\n");
}

TEST(Text, DidYouMean) {
  const std::vector<std::string> names = {"natural", "rcm", "amd"};
  EXPECT_EQ(did_you_mean("naturl", names), "; did you mean 'natural'?");
  EXPECT_EQ(did_you_mean("quite_another_thing", names), "");
}

}  // namespace
}  // namespace experiments

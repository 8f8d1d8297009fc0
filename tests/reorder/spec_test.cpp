// SPDX-License-Identifier: Apache-2.0
#include "reorder/spec.hpp"

#include <gtest/gtest.h>

#include "expect_error.hpp"

namespace reorder {
namespace {

using testing::expect_error;

std::string again(std::string_view text) {
  return to_string(parse_chain(text));
}

const std::vector<ParamSpec> kSpecs{
    {.name = "rounds", .fallback = std::int64_t{8}, .min = 1, .max = 100},
    {.name = "weight", .fallback = 0.5},
    {.name = "label", .fallback = std::string("none")},
};

Params bound(std::string_view text) {
  return reorder::bind(parse_chain(text)[0], kSpecs);
}

TEST(Spec, ParsesChainsCallsAndArguments) {
  const Chain chain = parse_chain(" peel( 8 ) | best_of(natural, rcm|swap(rounds=2)) ");
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_EQ(chain[0].name, "peel");
  ASSERT_EQ(chain[0].arguments.size(), 1u);
  EXPECT_EQ(chain[0].arguments[0].text, "8");
  EXPECT_TRUE(chain[0].arguments[0].chain.empty());
  ASSERT_EQ(chain[1].arguments.size(), 2u);
  EXPECT_EQ(chain[1].arguments[0].text, "natural");
  ASSERT_EQ(chain[1].arguments[0].chain.size(), 1u) << "a bare word is a call too";
  ASSERT_EQ(chain[1].arguments[1].chain.size(), 2u);
  EXPECT_EQ(chain[1].arguments[1].text, "rcm|swap(rounds=2)");
  EXPECT_EQ(chain[1].arguments[1].chain[1].arguments[0].key, "rounds");
}

TEST(Spec, NamesMayBePathsAndColons) {
  EXPECT_EQ(parse_chain("peer:docs_mean1024")[0].name, "peer:docs_mean1024");
  EXPECT_EQ(parse_chain("../a-b/mask.v2.mtx|shuffle(1)")[0].name, "../a-b/mask.v2.mtx");
  EXPECT_EQ(parse_chain("\"my dir/m(1).mtx\"|shuffle")[0].name, "my dir/m(1).mtx");
}

TEST(Spec, CanonicalTextIsAFixedPoint) {
  for (const char* text :
       {"rcm", "peel(8)|rcm", "best_of(natural,rcm|swap(2),amd)", "file(\"a b.npy\",cols=c.npy)",
        "f(\"12x\")", "f(\"say \\\"hi\\\" \\\\\")", "f(-1.5e-3,\"\")", "\"a b\"(1)|c"}) {
    EXPECT_EQ(again(text), again(again(text))) << text;
  }
  EXPECT_EQ(again(" a ( 1 , k = b ) | c ( ) "), "a(1,k=b)|c");
  EXPECT_EQ(again("f(\"12\")"), "f(12)");
  EXPECT_EQ(again("f(\"rcm\")"), "f(\"rcm\")") << "quoted, a word stays a text";
}

TEST(Spec, ReportsTheColumn) {
  const auto refuse = [](const std::string& part, const std::string& text) {
    expect_error(ErrorCode::syntax, part, [&] { (void)parse_chain(text); });
  };
  refuse("expected a name, found the end at column 1", "");
  refuse("found the end at column 5 of 'rcm|'", "rcm|");
  refuse("found ')' at column 4", "rcm)");
  refuse("expected ',' or ')', found the end at column 4", "f(1");
  refuse("expected a value, found ')' at column 5", "f(1,)");
  refuse("never closed at column 3", "f(\"a");
  refuse("expected '|' or the end, found 'b' at column 3", "a b");
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "f(";
  refuse("nested deeper than 64", deep);
}

TEST(Bind, PositionsKeysAndFallbacks) {
  const Params params = bound("f(3,label=x)");
  EXPECT_EQ(params.integer("rounds"), 3);
  EXPECT_EQ(params.number("weight"), 0.5);
  EXPECT_EQ(params.text("label"), "x");
  EXPECT_EQ(bound("f(1e2)").integer("rounds"), 100);
  EXPECT_EQ(bound("f(+7)").integer("rounds"), 7);
  EXPECT_EQ(bound("f(weight=2)").number("weight"), 2.0);
  EXPECT_EQ(bound("f(label=12)").text("label"), "12");
}

TEST(Bind, SaysWhatIsWrong) {
  expect_error(ErrorCode::unknown_name, "f has no parameter 'round'; did you mean 'rounds'?",
               [] { bound("f(round=3)"); });
  expect_error(ErrorCode::invalid_argument, "rounds is 101, but must be in [1, 100]",
               [] { bound("f(101)"); });
  expect_error(ErrorCode::syntax, "rounds must be an integer, not '1.5'", [] { bound("f(1.5)"); });
  expect_error(ErrorCode::syntax, "rounds must be an integer, not 'x'", [] { bound("f(x)"); });
  expect_error(ErrorCode::syntax, "rounds is given twice", [] { bound("f(1,rounds=2)"); });
  expect_error(ErrorCode::invalid_argument,
               "rounds is 99999999999999999999, but must be in [1, 100]",
               [] { bound("f(99999999999999999999)"); });
  expect_error(ErrorCode::syntax, "f takes at most 3 parameters, not 4",
               [] { bound("f(1,2,x,y)"); });
  expect_error(ErrorCode::syntax, "weight must be a number, not 'inf'",
               [] { bound("f(weight=inf)"); });
  const std::vector<ParamSpec> required{
      {.name = "rows", .fallback = std::string(), .required = true}};
  expect_error(ErrorCode::syntax, "file needs the parameter 'rows'",
               [&] { (void)reorder::bind(parse_chain("file")[0], required); });
}

TEST(Canonical, LeavesFallbacksOut) {
  const auto text = [](std::string_view call) { return canonical("f", bound(call), kSpecs); };
  EXPECT_EQ(text("f(8,0.5)"), "f");
  EXPECT_EQ(text("f(3)"), "f(3)");
  EXPECT_EQ(text("f(3,0.25)"), "f(3,0.25)");
  EXPECT_EQ(text("f(weight=0.25)"), "f(weight=0.25)");
  EXPECT_EQ(text("f(label=\"a b\",rounds=2)"), "f(2,label=\"a b\")");
}

TEST(NearestName, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string> names{"natural", "rcm", "metis_nd"};
  EXPECT_EQ(nearest_name("rmc", names), "rcm") << "two letters changed places";
  EXPECT_EQ(nearest_name("naturel", names), "natural");
  EXPECT_EQ(nearest_name("metis-nd", names), "metis_nd");
  EXPECT_EQ(nearest_name("swap", names), "");
  EXPECT_EQ(nearest_name("x", std::vector<std::string>{}), "");
}

}  // namespace
}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "reorder/permutation.hpp"

#include <gtest/gtest.h>

#include "expect_error.hpp"
#include "patterns.hpp"

namespace reorder {
namespace {

using testing::expect_error;
using testing::to_vector;

TEST(Permutation, RefusesWhatIsNone) {
  const auto code = ErrorCode::not_a_permutation;
  expect_error(code, "place 1 holds index 3, outside [0, 3)", [] { Permutation({0, 3, 1}); });
  expect_error(code, "place 0 holds index -1", [] { Permutation({-1, 0}); });
  expect_error(code, "index 2 stands at place 0 and again at place 2", [] {
    Permutation({2, 0, 2});
  });
  EXPECT_EQ(Permutation(std::vector<std::int32_t>{}).size(), 0);
}

TEST(Permutation, InverseSaysWhereEachWent) {
  const Permutation p({2, 0, 1});
  EXPECT_EQ(to_vector(p.inverse()), (std::vector<std::int32_t>{1, 2, 0}));
  EXPECT_EQ(p.inverse().inverse(), p);
}

TEST(Permutation, ThenAppliesTheFirstFirst) {
  // abc by {2,0,1} is cab; cab by {1,2,0} is abc.
  const Permutation first({2, 0, 1});
  EXPECT_TRUE(first.then(Permutation({1, 2, 0})).is_identity());
  // cab by {1,0,2} is acb.
  EXPECT_EQ(to_vector(first.then(Permutation({1, 0, 2}))), (std::vector<std::int32_t>{0, 2, 1}));
  expect_error(ErrorCode::invalid_argument, "3 places cannot be followed by one of 2", [&] {
    (void)first.then(Permutation({0, 1}));
  });
}

TEST(Permutation, Identity) {
  EXPECT_TRUE(Permutation::identity(4).is_identity());
  EXPECT_FALSE(Permutation({1, 0}).is_identity());
  expect_error(ErrorCode::invalid_argument, "-1 places", [] { (void)Permutation::identity(-1); });
}

TEST(Ordering, ComposesLikePermutingTwice) {
  const Csr a = testing::random_pattern(8, 8, 20, 3);
  const Ordering first{testing::random_permutation(8, 4), testing::random_permutation(8, 5), false};
  const Ordering second = Ordering::same(testing::random_permutation(8, 6));
  EXPECT_EQ(testing::dense(permute(permute(a, first), second)),
            testing::dense(a, first.then(second)));
  EXPECT_FALSE(first.then(second).symmetric);
  EXPECT_TRUE(second.then(second).symmetric);
}

TEST(Ordering, IdentityIsSymmetricOnlyWhenSquare) {
  EXPECT_TRUE(Ordering::identity(3, 3).symmetric);
  EXPECT_FALSE(Ordering::identity(3, 4).symmetric);
}

}  // namespace
}  // namespace reorder

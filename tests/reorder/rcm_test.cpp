// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

using testing::to_vector;

Ordering order(const std::string& pipeline, const CsrView& mask) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry)
      .run(mask, {.objective = Objective::tiles({.rows = 8, .cols = 8})})
      .ordering;
}

Csr shuffled(const Csr& pattern, std::uint32_t seed) {
  return permute(pattern, Ordering::same(testing::random_permutation(pattern.n_rows(), seed)));
}

bool has(const char* strategy) {
  const Registry registry = Registry::with_builtins();
  for (const auto& known : registry.strategies()) {
    if (known->info().name == strategy) return known->info().unavailable.empty();
  }
  return false;
}

TEST(Rcm, PathByHand) {
  // The path 2-0-3-1: both ends have degree 1, the search starts at the lower one, 1, and walks to
  // the other end, 2. From 2 the order is 2 0 3 1, reversed 1 3 0 2.
  const Csr path = Csr::from_entries(4, 4, testing::undirected(4, {{2, 0}, {0, 3}, {3, 1}}));
  EXPECT_EQ(to_vector(order("rcm", path).rows), (std::vector<std::int32_t>{1, 3, 0, 2}));
}

TEST(Rcm, StarByHand) {
  // Hub 2. From leaf 0 the deepest level holds leaves 1, 3, 4; leaf 1 is as deep, so the order
  // starts there: 1, the hub, then the others by index; reversed.
  const Csr star =
      Csr::from_entries(5, 5, testing::undirected(5, {{2, 0}, {2, 1}, {2, 3}, {2, 4}}));
  EXPECT_EQ(to_vector(order("rcm", star).rows), (std::vector<std::int32_t>{4, 3, 0, 2, 1}));
}

TEST(Rcm, NeighboursByDegreeThenIndex) {
  // 0 is the only end. Its neighbour 1 has the neighbours 2 (degree 3), 3 (degree 2), 4 (degree 3).
  //   0-1, 1-2, 1-3, 1-4, 2-5, 2-4, 3-5, 4-5
  const Csr graph = Csr::from_entries(
      6, 6,
      testing::undirected(6, {{0, 1}, {1, 2}, {1, 3}, {1, 4}, {2, 5}, {2, 4}, {3, 5}, {4, 5}}));
  // From 0: levels {0} {1} {2,3,4} {5}; from 5: {5} {2,3,4} {1} {0}, no deeper: it starts at 5.
  EXPECT_EQ(to_vector(order("rcm", graph).rows), (std::vector<std::int32_t>{0, 1, 4, 2, 3, 5}));
}

TEST(Rcm, ComponentsStayTogether) {
  // Two paths whose vertices alternate.
  testing::Entries edges;
  for (std::int32_t i = 2; i < 20; ++i) edges.emplace_back(i - 2, i);
  const Csr graph = Csr::from_entries(20, 20, testing::undirected(20, edges));
  const Ordering ordering = order("rcm", graph);
  for (std::int32_t i = 1; i < 10; ++i) EXPECT_EQ(ordering.rows[i] % 2, ordering.rows[0] % 2) << i;
  EXPECT_EQ(envelope(graph, ordering).bandwidth, 1);
}

TEST(Rcm, FindsTheBandOfAShuffledPathAndGrid) {
  for (std::uint32_t seed = 0; seed < 5; ++seed) {
    const Csr path = shuffled(testing::path(200), seed);
    EXPECT_EQ(envelope(path, order("rcm", path)).bandwidth, 1) << "seed " << seed;
    const Csr grid = shuffled(testing::grid(30, 8), seed);
    EXPECT_LE(envelope(grid, order("rcm", grid)).bandwidth, 9) << "seed " << seed;
  }
}

TEST(Rcm, SymmetricAndUnsymmetricMasksOfOneGraphAgree) {
  testing::Entries lower;
  for (const auto& [a, b] : testing::grid_entries(7, 7)) {
    if (a >= b) lower.emplace_back(a, b);
  }
  EXPECT_EQ(order("rcm", Csr::from_entries(49, 49, lower)), order("rcm", testing::grid(7, 7)));
}

TEST(Rcm, TheDiagonalIsNoMatter) {
  testing::Entries some = testing::grid_entries(7, 7);
  std::erase_if(some, [](const auto& e) { return e.first == e.second && e.first % 3 != 0; });
  EXPECT_EQ(order("rcm", Csr::from_entries(49, 49, some)), order("rcm", testing::grid(7, 7)));
}

TEST(Rcm, RectangularBandIsFound) {
  // Row i sees columns 3i .. 3i+3; both sides shuffled on their own.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 60; ++i) {
    for (std::int32_t j = 3 * i; j <= std::min(3 * i + 3, 179); ++j) entries.emplace_back(i, j);
  }
  const Csr band = Csr::from_entries(60, 180, entries);
  const Csr mask = permute(
      band, {testing::random_permutation(60, 1), testing::random_permutation(180, 2), false});
  const Tile tile{.rows = 4, .cols = 12};
  EXPECT_EQ(count_tiles(band, tile).nonempty, 29);
  EXPECT_GT(count_tiles(mask, tile).nonempty, 150);
  EXPECT_LE(count_tiles(mask, order("rcm", mask), tile).nonempty, 31);
}

TEST(Rcm, AgreesWithBoostInQuality) {
  if (!has("rcm_boost")) GTEST_SKIP() << "built without Boost.Graph";
  // The two choose their starts in different ways, so that the orders differ; the bands must not
  // differ by much, in sum over graphs.
  double ours = 0;
  double boost = 0;
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    for (const Csr& graph :
         {testing::path(50), testing::grid(16, 5), testing::grid(9, 11),
          symmetrize(testing::random_pattern(80, 80, 100, seed), Diagonal::fill)}) {
      const Csr mask = shuffled(graph, seed);
      ours += static_cast<double>(envelope(mask, order("rcm", mask)).profile);
      boost += static_cast<double>(envelope(mask, order("rcm_boost", mask)).profile);
    }
  }
  EXPECT_LE(ours, 1.1 * boost);
  EXPECT_GE(ours, 0.7 * boost)
      << "much better than the same method elsewhere: is it counted right?";
}

}  // namespace
}  // namespace reorder

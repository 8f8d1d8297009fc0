// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

constexpr Objective kGather{.kind = Objective::Kind::gather, .tile = {32, 8}};

Ordering run(const CsrView& mask, std::uint64_t seed = 1, int threads = 1,
             const std::string& pipeline = "hypergraph") {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry)
      .run(mask, {.objective = kGather, .seed = seed, .threads = threads})
      .ordering;
}

/// Communities of 32 rows with 8 keys of their own, of which a row sees half.
Csr communities(std::int32_t n) {
  testing::Entries entries;
  for (std::int32_t i = 0; i < 32 * n; ++i) {
    for (std::int32_t j = 0; j < 4; ++j) entries.emplace_back(i, i / 32 * 8 + (i + 2 * j) % 8);
  }
  return Csr::from_entries(32 * n, 8 * n, entries);
}

TEST(Hypergraph, FindsCommunitiesExactly) {
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    const Csr mask =
        permute(communities(10), Ordering{testing::random_permutation(320, seed),
                                          testing::random_permutation(80, seed + 9), false});
    const Ordering ordering = run(mask, seed);
    EXPECT_EQ(evaluate(kGather, mask, ordering), 10) << "seed " << seed;
    EXPECT_EQ(count_tiles(mask, ordering, kGather.tile).nonempty, 10) << "seed " << seed;
  }
}

TEST(Hypergraph, GathersFewKeysOnAMesh) {
  // A part of 32 cells of the plane, 8 x 4, touches at least 32 + 24 cells. Runs of 32 cells of a
  // row of the grid touch 98.
  const Csr grid = testing::grid(32, 32);
  const Csr mask = permute(grid, Ordering::same(testing::random_permutation(1024, 3)));
  const Objective keys{.kind = Objective::Kind::gather, .tile = {32, 1}};
  const double rows = evaluate(keys, grid, Ordering::identity(1024, 1024));
  EXPECT_LT(evaluate(keys, mask, run(mask)), 0.75 * rows);
}

TEST(Hypergraph, RefinementIsWorthIt) {
  const Csr mask =
      permute(testing::grid(32, 32), Ordering::same(testing::random_permutation(1024, 4)));
  const Objective keys{.kind = Objective::Kind::gather, .tile = {32, 1}};
  EXPECT_LT(evaluate(keys, mask, run(mask)),
            evaluate(keys, mask, run(mask, 1, 1, "hypergraph(0)")));
}

TEST(Hypergraph, ThreadsAreNoMatter) {
  const Csr mask = testing::random_pattern(300, 200, 1500, 5);
  const Ordering one = run(mask);
  EXPECT_EQ(run(mask, 1, 2), one);
  EXPECT_EQ(run(mask, 1, 8), one);
}

}  // namespace
}  // namespace reorder

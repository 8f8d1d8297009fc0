// SPDX-License-Identifier: Apache-2.0
//
// The adapters to other libraries: that their permutations are read in the right direction, and
// that what a library cannot take is dealt with before.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

const Registry& registry() {
  static const Registry result = Registry::with_builtins();
  return result;
}

bool available(const char* name) {
  const auto& all = registry().strategies();
  return std::any_of(all.begin(), all.end(), [&](const auto& strategy) {
    return strategy->info().name == name && strategy->info().unavailable.empty();
  });
}

Ordering order(const std::string& pipeline, const CsrView& mask, Tile tile = {8, 8}) {
  return Pipeline::parse(pipeline, registry())
      .run(mask, {.objective = Objective::tiles(tile)})
      .ordering;
}

/// Entries of the Cholesky factor when the vertices of a graph are eliminated in this order.
std::size_t elimination_fill(const CsrView& graph, const Permutation& order) {
  std::vector<std::set<std::int32_t>> neighbours(static_cast<std::size_t>(graph.n_rows));
  for (std::int32_t v = 0; v < graph.n_rows; ++v) {
    for (const std::int32_t u : graph.row(v)) {
      if (u != v) neighbours[static_cast<std::size_t>(v)].insert(u);
    }
  }
  std::size_t fill = 0;
  for (const std::int32_t v : order.new_to_old()) {
    const auto clique = neighbours[static_cast<std::size_t>(v)];
    fill += clique.size() + 1;
    for (const std::int32_t u : clique) {
      auto& of_u = neighbours[static_cast<std::size_t>(u)];
      of_u.insert(clique.begin(), clique.end());
      of_u.erase(u);
      of_u.erase(v);
    }
  }
  return fill;
}

class FillReducing : public ::testing::TestWithParam<const char*> {};

TEST_P(FillReducing, IsNewToOld) {
  if (!available(GetParam())) GTEST_SKIP() << "built without the library of " << GetParam();
  const Csr grid = testing::grid(24, 24);
  const Permutation order_of_grid = order(GetParam(), grid).rows;
  const std::size_t natural = elimination_fill(grid, Permutation::identity(grid.n_rows()));
  const std::size_t ours = elimination_fill(grid, order_of_grid);
  const std::size_t inverse = elimination_fill(grid, order_of_grid.inverse());
  EXPECT_LT(static_cast<double>(ours), 0.6 * static_cast<double>(natural));
  EXPECT_LT(2 * ours, inverse) << "the permutation is read the wrong way round";
}

TEST_P(FillReducing, TheDiagonalIsNoMatter) {
  if (!available(GetParam())) GTEST_SKIP() << "built without the library of " << GetParam();
  const Csr with = testing::grid(10, 10);
  EXPECT_EQ(order(GetParam(), symmetrize(with, Diagonal::drop)), order(GetParam(), with));
}

INSTANTIATE_TEST_SUITE_P(Libraries, FillReducing, ::testing::Values("amd", "metis_nd"));

class Partition : public ::testing::TestWithParam<const char*> {};

TEST_P(Partition, LaysPartsOutAsRuns) {
  if (!available(GetParam())) GTEST_SKIP() << "built without METIS";
  // Eight cliques of 16 whose vertices alternate, each joined to the next by one edge.
  testing::Entries entries;
  for (std::int32_t a = 0; a < 128; ++a) {
    for (std::int32_t b = a % 8; b < 128; b += 8) entries.emplace_back(a, b);
  }
  for (std::int32_t clique = 0; clique < 7; ++clique) {
    entries.emplace_back(clique, clique + 1);
    entries.emplace_back(clique + 1, clique);
  }
  const Csr mask = Csr::from_entries(128, 128, entries);
  const Tile tile{.rows = 16, .cols = 16};
  EXPECT_EQ(count_tiles(mask, tile).nonempty, 64);
  const Ordering ordering = order(GetParam(), mask, tile);
  EXPECT_LE(count_tiles(mask, ordering, tile).nonempty, 8 + 14);
  for (std::int32_t place = 0; place < 128; ++place) {
    EXPECT_EQ(ordering.rows[place] % 8, ordering.rows[place / 16 * 16] % 8) << "place " << place;
    if (place % 16 != 0) {
      EXPECT_GT(ordering.rows[place], ordering.rows[place - 1])
          << "inside a part the order stays; place " << place;
    }
  }
}

TEST_P(Partition, MorePartsThanVertices) {
  if (!available(GetParam())) GTEST_SKIP() << "built without METIS";
  const std::string call = std::string(GetParam()) + "(1000)";
  EXPECT_EQ(order(call, testing::path(10)).rows.size(), 10);
  EXPECT_TRUE(order(std::string(GetParam()) + "(1)", testing::path(10)).rows.is_identity());
}

INSTANTIATE_TEST_SUITE_P(Libraries, Partition,
                         ::testing::Values("metis_kway", "metis_rb", "metis_bipartite"));

TEST(MetisBipartite, OrdersRowsAndColumnsApart) {
  if (!available("metis_bipartite")) GTEST_SKIP() << "built without METIS";
  // Row i of 128 sees the 8 columns of one of 8 blocks: rows and columns of a block come together
  // although their numbers have nothing to do with each other.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 128; ++i) {
    for (std::int32_t j = 0; j < 8; ++j) entries.emplace_back(i, 8 * (7 - i % 8) + j);
  }
  const Csr mask = Csr::from_entries(128, 64, entries);
  const Ordering shuffle{Permutation::identity(128), testing::random_permutation(64, 1), false};
  const Csr shuffled = permute(mask, shuffle);
  const Tile tile{.rows = 16, .cols = 8};
  EXPECT_EQ(count_tiles(shuffled, order("metis_bipartite", shuffled, tile), tile).nonempty, 8);
  // The rows of a square mask are not tied to its columns either.
  EXPECT_FALSE(order("metis_bipartite", testing::grid(8, 8)).symmetric);
}

TEST(Metis, TheSeedIsPassedOn) {
  // METIS_PartGraphKway starts its inner partition from a seed of its own, so that ours shows in
  // recursive bisection alone on a graph this small.
  if (!available("metis_rb")) GTEST_SKIP() << "built without METIS";
  const Csr graph = symmetrize(testing::random_pattern(400, 400, 1200, 2), Diagonal::fill);
  const Pipeline pipeline = Pipeline::parse("metis_rb(20)", registry());
  std::set<std::vector<std::int32_t>> answers;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Context context{.objective = Objective::tiles({8, 8}), .seed = seed};
    answers.insert(testing::to_vector(pipeline.run(graph, context).ordering.rows));
  }
  EXPECT_GT(answers.size(), 1u);
}

}  // namespace
}  // namespace reorder

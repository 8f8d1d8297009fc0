// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "patterns.hpp"
#include "reorder/pipeline.hpp"

namespace reorder {
namespace {

Ordering run(const std::string& pipeline, const CsrView& mask, int threads = 1) {
  static const Registry registry = Registry::with_builtins();
  return Pipeline::parse(pipeline, registry)
      .run(mask, {.objective = Objective::tiles({16, 16}), .seed = 1, .threads = threads})
      .ordering;
}

/// Blocks of rows of the given sizes; block k sees the columns 10·k to 10·k + 9, but row i of a
/// block not the column i % 10. Two of its rows share 8 of the 10 that they have together.
struct Blocks {
  std::vector<std::int32_t> sizes;
  std::vector<std::int32_t> block_of{};
  Csr mask{};

  explicit Blocks(std::vector<std::int32_t> of_sizes) : sizes(std::move(of_sizes)) {
    testing::Entries entries;
    for (std::int32_t k = 0; k < static_cast<std::int32_t>(sizes.size()); ++k) {
      for (std::int32_t i = 0; i < sizes[static_cast<std::size_t>(k)]; ++i) {
        const auto row = static_cast<std::int32_t>(block_of.size());
        for (std::int32_t j = 0; j < 10; ++j) {
          if (j != i % 10) entries.emplace_back(row, 10 * k + j);
        }
        block_of.push_back(k);
      }
    }
    mask = Csr::from_entries(static_cast<std::int32_t>(block_of.size()),
                             10 * static_cast<std::int32_t>(sizes.size()), entries);
  }

  /// How many blocks the rows at places [begin, end) of an ordering are of.
  [[nodiscard]] std::size_t among(const Permutation& rows, std::int32_t begin,
                                  std::int32_t end) const {
    std::set<std::int32_t> found;
    for (std::int32_t place = begin; place < end; ++place) {
      found.insert(block_of[static_cast<std::size_t>(rows[place])]);
    }
    return found.size();
  }
};

TEST(Supervariable, BundlesAreOfOneBlock) {
  const Blocks blocks({8, 8, 8, 8, 8, 8});
  const Ordering shuffle{testing::random_permutation(48, 1), testing::random_permutation(60, 2),
                         false};
  const Permutation rows = shuffle.then(run("supervariable", permute(blocks.mask, shuffle))).rows;
  for (std::int32_t begin = 0; begin < 48; begin += 8) {
    EXPECT_EQ(blocks.among(rows, begin, begin + 8), 1U) << "places from " << begin;
  }
}

TEST(Supervariable, WhatABlockLeavesIsPooled) {
  // 5 and 3 rows make a bundle between them, and 19 leave 3, at the end. The others stay pure.
  const Blocks blocks({5, 8, 3, 8, 19});
  const Permutation rows = run("supervariable", blocks.mask).rows;
  std::vector<std::size_t> kinds;
  for (std::int32_t begin = 0; begin < 43; begin += 8) {
    kinds.push_back(blocks.among(rows, begin, std::min(begin + 8, 43)));
  }
  EXPECT_EQ(kinds, (std::vector<std::size_t>{1, 2, 1, 1, 1, 1}));
}

TEST(Supervariable, RowsThatAreLessAlikeStayApart) {
  const Blocks blocks({8, 8});
  // Two rows have 8 of 10 columns in common; nothing is that similar at 0.9, and the order stays.
  EXPECT_TRUE(run("supervariable(2,0.9)", blocks.mask).rows.is_identity());
}

TEST(Supervariable, OneOrderForBothSidesWhereItIsNoWorse) {
  // Tokens of a block see each other.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 48; ++i) {
    for (std::int32_t j = i / 8 * 8; j < i / 8 * 8 + 8; ++j) entries.emplace_back(i, j);
  }
  const Csr mask = permute(Csr::from_entries(48, 48, entries),
                           Ordering::same(testing::random_permutation(48, 4)));
  const Ordering ordering = run("supervariable", mask);
  EXPECT_TRUE(ordering.symmetric);
  EXPECT_EQ(count_tiles(mask, ordering, {8, 8}).nonempty, 6);
}

TEST(Supervariable, ACommonKeyTellsNothing) {
  // Four rows see each key but the last, and all rows see that one: a third of what two rows have
  // together, but more than eight times as common as the others.
  testing::Entries entries;
  for (std::int32_t i = 0; i < 64; ++i) {
    entries.emplace_back(i, i % 16);
    entries.emplace_back(i, 16);
  }
  const Permutation rows = run("supervariable(4,0.3)", Csr::from_entries(64, 17, entries)).rows;
  for (std::int32_t place = 0; place < 64; ++place) {
    EXPECT_EQ(rows[place] % 16, rows[place / 4 * 4] % 16) << "place " << place;
  }
}

TEST(Supervariable, ThreadsAreNoMatter) {
  const Csr mask = testing::random_pattern(64, 64, 600, 5);
  const Ordering one = run("supervariable(2,0.1)", mask);
  EXPECT_EQ(run("supervariable(2,0.1)", mask, 2), one);
  EXPECT_EQ(run("supervariable(2,0.1)", mask, 8), one);
}

}  // namespace
}  // namespace reorder

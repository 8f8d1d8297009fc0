// SPDX-License-Identifier: Apache-2.0
//
// Masks for tests of the Hopper backend, and its form of a mask read back element by element.
#pragma once

#include <array>

#include "attn/oracle.hpp"
#include "cuda/hopper/layout.hpp"

namespace attn::test {

/// Every 64x64 block is empty, full, full but for one zero, or random of one density; some rows are
/// empty altogether.
inline BoolMask block_mask(std::int32_t n_q, std::int32_t n_k, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::int32_t width = n_k / 64 + 1;
  std::vector<int> kinds(static_cast<std::size_t>((n_q / 64 + 1) * width));
  for (int& kind : kinds) kind = static_cast<int>(random() % 5);
  std::bernoulli_distribution coin(static_cast<double>(random() % 100) / 100.0);
  return {n_q, n_k, [&](std::int32_t i, std::int32_t j) {
            const bool heads = coin(random);
            if (i % 97 == 5) return false;
            switch (kinds[static_cast<std::size_t>(i / 64 * width + j / 64)]) {
              case 0:
              case 1:
                return false;
              case 2:
                return true;
              case 3:
                return i % 64 != 63 || j % 64 != 0;
              default:
                return heads;
            }
          }};
}

/// A problem, a mask and a tile shape at random.
struct RandomCase {
  Problem problem;
  BoolMask mask;
  TileShape tile;
};

/// Of at most `most_q` x `most_k` queries and keys.
inline RandomCase random_case(std::mt19937_64& random, std::uint64_t seed, std::uint64_t most_q,
                              std::uint64_t most_k) {
  const auto pick = [&](auto... choices) {
    const std::array list{choices...};
    return list[random() % list.size()];
  };
  const auto n_q = static_cast<std::int32_t>(1 + random() % most_q);
  const auto n_k = static_cast<std::int32_t>(1 + random() % most_k);
  const std::int64_t kv_heads = pick(1, 2);
  const Problem problem{.batch = pick(1, 2),
                        .heads = kv_heads * pick(1, 3),
                        .kv_heads = kv_heads,
                        .head_dim = pick(64, 128),
                        .dtype = pick(DType::f16, DType::bf16),
                        .seed = seed};
  const TileShape tile{pick(64, 128, 192, 256), pick(64, 128, 192)};
  return {problem, seed % 2 == 0 ? block_mask(n_q, n_k, seed) : random_mask(n_q, n_k, seed), tile};
}

/// Element (row, key) of a 64 x 128 strip, by its states and bits (mask.cuh).
inline bool allows(const hopper::Strips& strips, std::uint32_t states, std::uint32_t place, int row,
                   int key) {
  const std::uint32_t state = states >> (2 * (key / 64)) & 3U;
  if (state != hopper::kPartial) return state == hopper::kFull;
  const int thread = row / 16 * 32 + row % 8 * 4 + key % 8 / 2;
  const std::uint32_t word = strips.bits[std::size_t{place} * hopper::kStripWords +
                                         static_cast<std::size_t>(thread * 2 + key / 64)];
  return (word >> (key % 64 / 8 * 4 + row % 16 / 8 * 2 + key % 2) & 1U) != 0;
}

/// Mask m by its columns. A strip that is told twice, or one outside the mask, fails the test.
inline BoolMask mask_of_columns(const hopper::Strips& strips, std::int32_t n_q, std::int32_t n_k,
                                std::int32_t m = 0) {
  BoolMask mask(n_q, n_k, [](auto, auto) { return false; });
  for (std::int32_t c = 0; c < strips.key_tiles; ++c) {
    const auto column = static_cast<std::size_t>(m * strips.key_tiles + c);
    std::int64_t before = -1;
    for (std::int32_t s = strips.column_offsets[column]; s < strips.column_offsets[column + 1];
         ++s) {
      const hopper::StripEntry& strip = strips.by_column[static_cast<std::size_t>(s)];
      const auto block =
          static_cast<std::int32_t>(strip.block & ((1U << hopper::kKeyTileBits) - 1));
      EXPECT_GT(block, before) << "key tile " << c;
      before = block;
      for (int row = 0; row < 64 && block * 64 + row < n_q; ++row) {
        for (int key = 0; key < 128 && c * 128 + key < n_k; ++key) {
          mask.allowed[mask.index(block * 64 + row, c * 128 + key)] =
              allows(strips, strip.block >> hopper::kKeyTileBits, strip.bits, row, key) ? 1 : 0;
        }
      }
    }
  }
  return mask;
}

/// Mask m by its rows of tiles.
inline BoolMask mask_of_tiles(const hopper::Strips& strips, const hopper::Layout& layout,
                              int groups, std::int32_t n_q, std::int32_t n_k, std::int32_t m = 0) {
  BoolMask mask(n_q, n_k, [](auto, auto) { return false; });
  for (std::int32_t t = 0; t < layout.row_tiles; ++t) {
    const hopper::WorkItem& item = layout.rows[static_cast<std::size_t>(m * layout.row_tiles + t)];
    EXPECT_EQ(item.row_tile, t);
    EXPECT_EQ(item.mask, m);
    for (std::int32_t n = 0; n < item.n_tiles; ++n) {
      const hopper::TileEntry& tile = layout.tiles[static_cast<std::size_t>(item.first_tile + n)];
      const auto c = static_cast<std::int32_t>(tile.key & ((1U << hopper::kKeyTileBits) - 1));
      std::uint32_t place = tile.bits;
      for (int g = 0; g < groups; ++g) {
        const std::uint32_t states = tile.key >> (hopper::kKeyTileBits + 4 * g) & 15U;
        for (int row = 0; row < 64; ++row) {
          const std::int32_t i = (t * groups + g) * 64 + row;
          for (int key = 0; key < 128; ++key) {
            if (!allows(strips, states, place, row, key)) continue;
            if (i < n_q && c * 128 + key < n_k) {
              EXPECT_FALSE(mask(i, c * 128 + key)) << "told twice: " << i << ", " << c * 128 + key;
              mask.allowed[mask.index(i, c * 128 + key)] = 1;
            } else {
              // Rows beyond the mask are computed and dropped; keys there must not be seen.
              EXPECT_LT(c * 128 + key, n_k) << "row " << i;
            }
          }
        }
        if ((states & 3U) == hopper::kPartial || states >> 2 == hopper::kPartial) ++place;
      }
    }
  }
  return mask;
}

}  // namespace attn::test

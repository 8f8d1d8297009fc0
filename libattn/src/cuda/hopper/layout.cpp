// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/layout.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <string>

#include "attn/error.hpp"
#include "parallel.hpp"

namespace attn::hopper {
namespace {

constexpr int kMaxGroups = 3;
constexpr int kMaxKeyBlocks = 2;

/// 64 x 64 elements of a mask, wherever their bits lie.
struct Quadrant {
  QuadrantState state = kEmpty;
  const std::uint8_t* rows = nullptr;  ///< 8 bytes a row; null: every row is `all_rows`
  std::int64_t row_bytes = 0;
  std::uint64_t all_rows = 0;

  [[nodiscard]] std::uint64_t row(int r) const {
    if (rows == nullptr) return all_rows;
    std::uint64_t bits;
    std::memcpy(&bits, rows + r * row_bytes, sizeof bits);
    return bits;
  }
};

struct Tile {
  std::int32_t key_tile = 0;
  std::array<std::array<Quadrant, kMaxKeyBlocks>, kMaxGroups> quadrants;

  [[nodiscard]] bool partial() const {
    return std::any_of(quadrants.begin(), quadrants.end(), [](const auto& row) {
      return std::any_of(row.begin(), row.end(),
                         [](const Quadrant& q) { return q.state == kPartial; });
    });
  }
};

/// Bits 2 q, 2 q + 1 of each byte of a row, side by side: what one lane of a quad holds.
std::uint32_t lane_bits(std::uint64_t row, int q) {
  std::uint64_t x = (row >> (2 * q)) & 0x0303030303030303U;
  x = (x | x >> 4) & 0x0033003300330033U;
  // Pairs of bits now stand 4 apart inside each 16 bits; close the gaps between those.
  x = (x | x >> 8) & 0x0000333300003333U;
  x = (x | x >> 16) & 0x0000000033333333U;
  return static_cast<std::uint32_t>(x);
}

void write_words(const Quadrant& quadrant, std::uint32_t* words, int stride) {
  for (int thread = 0; thread < 128; ++thread) {
    const int row = thread / 32 * 16 + thread % 32 / 4;
    std::uint32_t word = 0;
    if (quadrant.state != kEmpty) {
      word = lane_bits(quadrant.row(row), thread % 4) | lane_bits(quadrant.row(row + 8), thread % 4)
                                                            << 2;
    }
    words[thread * stride] = word;
  }
}

class Builder {
 public:
  Builder(const BlockMask& mask, int groups, int block_n)
      : mask_(mask), groups_(groups), key_blocks_(block_n / kQuadrant) {}

  /// The tiles of one row of tiles, those without bits first, then by key.
  std::vector<Tile> row_of_tiles(const TileLists& lists, std::int32_t row_tile) const {
    std::vector<Tile> tiles;
    for (int g = 0; g < groups_; ++g) {
      const std::int64_t first_row = (std::int64_t{row_tile} * groups_ + g) * kQuadrant;
      if (first_row < mask_.n_q()) add_block(lists, first_row, g, tiles);
    }
    std::sort(tiles.begin(), tiles.end(),
              [](const Tile& a, const Tile& b) { return a.key_tile < b.key_tile; });
    // The blocks of a row each brought their own quadrants: join what stands in one tile.
    std::size_t kept = 0;
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      if (kept != 0 && tiles[kept - 1].key_tile == tiles[i].key_tile) {
        join(tiles[kept - 1], tiles[i]);
      } else {
        tiles[kept++] = tiles[i];
      }
    }
    tiles.resize(kept);
    std::stable_partition(tiles.begin(), tiles.end(), [](const Tile& t) { return !t.partial(); });
    return tiles;
  }

 private:
  static void join(Tile& into, const Tile& from) {
    for (std::size_t g = 0; g < kMaxGroups; ++g) {
      for (std::size_t c = 0; c < kMaxKeyBlocks; ++c) {
        if (from.quadrants[g][c].state != kEmpty) into.quadrants[g][c] = from.quadrants[g][c];
      }
    }
  }

  void add_block(const TileLists& lists, std::int64_t first_row, int g,
                 std::vector<Tile>& tiles) const {
    const auto [block_m, block_n] = mask_.tile();
    const std::int64_t mask_row = first_row / block_m;
    const std::int32_t blocks = block_n / kQuadrant;
    for (const std::int32_t tile : lists.full(mask_row)) {
      for (std::int32_t c = 0; c < blocks; ++c) add(tile * blocks + c, g, {.state = kFull}, tiles);
    }
    std::int64_t index = lists.partial_offsets[static_cast<std::size_t>(mask_row)];
    for (const std::int32_t tile : lists.partial(mask_row)) {
      const std::uint8_t* const bits =
          lists.partial_bits.data() +
          (index * block_m + first_row % block_m) * std::int64_t{block_n} / 8;
      for (std::int32_t c = 0; c < blocks; ++c) {
        add(tile * blocks + c, g, examine(bits + c * 8, block_n / 8, first_row), tiles);
      }
      ++index;
    }
  }

  Quadrant examine(const std::uint8_t* rows, std::int64_t row_bytes, std::int64_t first_row) const {
    Quadrant quadrant{kPartial, rows, row_bytes};
    const auto height =
        static_cast<int>(std::min<std::int64_t>(kQuadrant, mask_.n_q() - first_row));
    int count = 0;
    for (int r = 0; r < height; ++r) count += std::popcount(quadrant.row(r));
    if (count == 0) return {};
    if (count == height * kQuadrant) quadrant.state = kFull;
    return quadrant;
  }

  void add(std::int32_t key_block, int g, Quadrant quadrant, std::vector<Tile>& tiles) const {
    const std::int64_t keys = mask_.n_k() - std::int64_t{key_block} * kQuadrant;
    if (quadrant.state == kEmpty || keys <= 0) return;
    if (quadrant.state == kFull) {
      // The kernel has no other check of the last keys than bits.
      const bool ragged = keys < kQuadrant;
      quadrant = {ragged ? kPartial : kFull, nullptr, 0,
                  ragged ? (std::uint64_t{1} << keys) - 1 : ~std::uint64_t{0}};
    }
    Tile tile;
    tile.key_tile = key_block / key_blocks_;
    tile.quadrants[static_cast<std::size_t>(g)][static_cast<std::size_t>(key_block % key_blocks_)] =
        quadrant;
    tiles.push_back(tile);
  }

  const BlockMask& mask_;
  int groups_;
  int key_blocks_;
};

std::uint32_t key_word(const Tile& tile, int groups, int key_blocks) {
  auto key = static_cast<std::uint32_t>(tile.key_tile);
  for (int g = 0; g < groups; ++g) {
    for (int c = 0; c < key_blocks; ++c) {
      const auto& quadrant =
          tile.quadrants[static_cast<std::size_t>(g)][static_cast<std::size_t>(c)];
      key |= static_cast<std::uint32_t>(quadrant.state) << (kKeyTileBits + 2 * (2 * g + c));
    }
  }
  return key;
}

/// The 64-row blocks of a row of tiles that visit nothing.
void list_empty_blocks(const std::vector<Tile>& tiles, std::int32_t mask, std::int32_t row_tile,
                       int groups, std::int32_t n_q, std::vector<EmptyBlock>& empty) {
  for (int g = 0; g < groups; ++g) {
    const std::int32_t block = row_tile * groups + g;
    if (std::int64_t{block} * kQuadrant >= n_q) continue;
    const bool visits = std::any_of(tiles.begin(), tiles.end(), [g](const Tile& tile) {
      const auto& row = tile.quadrants[static_cast<std::size_t>(g)];
      return std::any_of(row.begin(), row.end(),
                         [](const Quadrant& q) { return q.state != kEmpty; });
    });
    if (!visits) empty.push_back({mask, block});
  }
}

}  // namespace

bool can_lay_out(TileShape tile) noexcept {
  return tile.block_m % kQuadrant == 0 && tile.block_n % kQuadrant == 0;
}

Layout lay_out(const BlockMask& mask, int groups, int block_n, int threads) {
  const int key_blocks = block_n / kQuadrant;
  const std::int32_t block_m = groups * kQuadrant;
  Layout layout;
  layout.row_tiles = (mask.n_q() + block_m - 1) / block_m;
  const std::int32_t masks = mask.batch() * mask.heads();
  const std::size_t words_per_tile = static_cast<std::size_t>(groups * key_blocks) * 128;
  threads = thread_count(threads);
  const Builder builder(mask, groups, block_n);

  for (std::int32_t m = 0; m < masks; ++m) {
    const TileLists lists = mask.lists(m / mask.heads(), m % mask.heads());
    std::vector<std::vector<Tile>> rows(static_cast<std::size_t>(layout.row_tiles));
    parallel_for(threads, layout.row_tiles, [&](std::int64_t t, int) {
      rows[static_cast<std::size_t>(t)] = builder.row_of_tiles(lists, static_cast<std::int32_t>(t));
    });
    std::vector<std::pair<const Tile*, std::uint32_t>> partial;
    auto bit_tiles = static_cast<std::uint32_t>(layout.bits.size() / words_per_tile);
    for (std::int32_t t = 0; t < layout.row_tiles; ++t) {
      const std::vector<Tile>& tiles = rows[static_cast<std::size_t>(t)];
      const WorkItem item{t, static_cast<std::int32_t>(layout.tiles.size()),
                          static_cast<std::int32_t>(tiles.size()), m};
      layout.rows.push_back(item);
      if (item.n_tiles != 0) layout.items.push_back(item);
      list_empty_blocks(tiles, m, t, groups, mask.n_q(), layout.empty_blocks);
      for (const Tile& tile : tiles) {
        std::uint32_t place = kNoBits;
        if (tile.partial()) {
          place = bit_tiles++;
          partial.emplace_back(&tile, place);
        }
        layout.tiles.push_back({key_word(tile, groups, key_blocks), place});
      }
      if (layout.tiles.size() > std::size_t{std::numeric_limits<std::int32_t>::max()}) {
        throw Error(ErrorCode::unsupported, "the mask visits more than 2^31 tiles");
      }
    }
    layout.bits.resize(bit_tiles * words_per_tile);
    parallel_for(threads, static_cast<std::int64_t>(partial.size()), [&](std::int64_t i, int) {
      const auto& [tile, place] = partial[static_cast<std::size_t>(i)];
      for (int g = 0; g < groups; ++g) {
        std::uint32_t* const words = layout.bits.data() + place * words_per_tile +
                                     static_cast<std::size_t>(g * 128 * key_blocks);
        for (int c = 0; c < key_blocks; ++c) {
          write_words(tile->quadrants[static_cast<std::size_t>(g)][static_cast<std::size_t>(c)],
                      words + c, key_blocks);
        }
      }
    });
  }
  std::stable_sort(layout.items.begin(), layout.items.end(),
                   [](const WorkItem& a, const WorkItem& b) { return a.n_tiles > b.n_tiles; });
  return layout;
}

}  // namespace attn::hopper

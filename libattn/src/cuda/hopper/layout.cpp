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

constexpr int kKeyBlocks = kStripKeys / kQuadrant;

/// 64 x 64 elements of a mask, wherever their bits lie.
struct Quadrant {
  QuadrantState state = kEmpty;
  const std::uint8_t* rows = nullptr;  ///< 8 bytes a row; null: every row is `all_rows`
  std::int64_t row_bytes = 0;
  std::uint64_t all_rows = 0;
  int height = kQuadrant;  ///< rows inside the mask

  [[nodiscard]] std::uint64_t row(int r) const {
    if (r >= height) return 0;
    if (rows == nullptr) return all_rows;
    std::uint64_t bits;
    std::memcpy(&bits, rows + r * row_bytes, sizeof bits);
    return bits;
  }
};

/// A visited strip before its bits have a place.
struct Strip {
  std::int32_t key_tile;
  std::array<Quadrant, kKeyBlocks> quadrants;

  [[nodiscard]] bool stored() const {
    return std::any_of(quadrants.begin(), quadrants.end(),
                       [](const Quadrant& q) { return q.state == kPartial; });
  }
  /// The states above a place, as in StripEntry.
  [[nodiscard]] std::uint32_t states() const {
    return (static_cast<std::uint32_t>(quadrants[0].state) |
            static_cast<std::uint32_t>(quadrants[1].state) << 2)
           << kKeyTileBits;
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

void write_words(const Strip& strip, std::uint32_t* words) {
  for (int c = 0; c < kKeyBlocks; ++c) {
    const Quadrant& quadrant = strip.quadrants[static_cast<std::size_t>(c)];
    if (quadrant.state == kEmpty) continue;
    for (int thread = 0; thread < 128; ++thread) {
      const int row = thread / 32 * 16 + thread % 32 / 4;
      words[thread * kKeyBlocks + c] = lane_bits(quadrant.row(row), thread % 4) |
                                       lane_bits(quadrant.row(row + 8), thread % 4) << 2;
    }
  }
}

/// The strips of single row blocks of one mask.
class Cutter {
 public:
  Cutter(const BlockMask& mask, const TileLists& lists) : mask_(mask), lists_(lists) {}

  [[nodiscard]] std::vector<Strip> row_block(std::int64_t block) const {
    std::vector<Strip> strips;
    const auto [block_m, block_n] = mask_.tile();
    const std::int64_t first_row = block * kQuadrant;
    const std::int64_t mask_row = first_row / block_m;
    const std::int32_t blocks = block_n / kQuadrant;
    const auto height =
        static_cast<int>(std::min<std::int64_t>(kQuadrant, mask_.n_q() - first_row));
    for (const std::int32_t tile : lists_.full(mask_row)) {
      for (std::int32_t c = 0; c < blocks; ++c) {
        add(tile * blocks + c, {.state = kFull, .height = height}, strips);
      }
    }
    std::int64_t index = lists_.partial_offsets[static_cast<std::size_t>(mask_row)];
    for (const std::int32_t tile : lists_.partial(mask_row)) {
      const std::uint8_t* const bits =
          lists_.partial_bits.data() +
          (index * block_m + first_row % block_m) * std::int64_t{block_n} / 8;
      for (std::int32_t c = 0; c < blocks; ++c) {
        add(tile * blocks + c, examine(bits + c * 8, block_n / 8, height), strips);
      }
      ++index;
    }
    std::sort(strips.begin(), strips.end(),
              [](const Strip& a, const Strip& b) { return a.key_tile < b.key_tile; });
    // Each quadrant came alone: join the two of a strip.
    std::size_t kept = 0;
    for (std::size_t i = 0; i < strips.size(); ++i) {
      if (kept == 0 || strips[kept - 1].key_tile != strips[i].key_tile) {
        strips[kept++] = strips[i];
        continue;
      }
      for (std::size_t c = 0; c < kKeyBlocks; ++c) {
        const Quadrant& quadrant = strips[i].quadrants[c];
        if (quadrant.state != kEmpty) strips[kept - 1].quadrants[c] = quadrant;
      }
    }
    strips.resize(kept);
    return strips;
  }

 private:
  static Quadrant examine(const std::uint8_t* rows, std::int64_t row_bytes, int height) {
    Quadrant quadrant{kPartial, rows, row_bytes, 0, height};
    int count = 0;
    for (int r = 0; r < height; ++r) count += std::popcount(quadrant.row(r));
    if (count == 0) return {};
    if (count == height * kQuadrant) quadrant.state = kFull;
    return quadrant;
  }

  void add(std::int32_t key_block, Quadrant quadrant, std::vector<Strip>& strips) const {
    const std::int64_t keys = mask_.n_k() - std::int64_t{key_block} * kQuadrant;
    if (quadrant.state == kEmpty || keys <= 0) return;
    if (quadrant.state == kFull) {
      // The kernel has no other check of the last keys than bits.
      const bool ragged = keys < kQuadrant;
      quadrant.state = ragged ? kPartial : kFull;
      quadrant.rows = nullptr;
      quadrant.all_rows = ragged ? (std::uint64_t{1} << keys) - 1 : ~std::uint64_t{0};
    }
    Strip strip{key_block / kKeyBlocks, {}};
    strip.quadrants[static_cast<std::size_t>(key_block % kKeyBlocks)] = quadrant;
    strips.push_back(strip);
  }

  const BlockMask& mask_;
  const TileLists& lists_;
};

using RowsOfStrips = std::vector<std::vector<Strip>>;

/// Counts, then places: by row the strips stand as they were cut, by column they are dealt out in
/// the order of their rows, and those stored are numbered by column.
void index_strips(const RowsOfStrips& rows, Strips& strips) {
  const auto columns =
      static_cast<std::size_t>(strips.masks) * static_cast<std::size_t>(strips.key_tiles);
  std::vector<std::int64_t> visited(columns + 1, 0);
  std::vector<std::int64_t> stored(columns + 1, 0);
  const auto column_of = [&](std::size_t row, const Strip& strip) {
    return row / static_cast<std::size_t>(strips.row_blocks) *
               static_cast<std::size_t>(strips.key_tiles) +
           static_cast<std::size_t>(strip.key_tile);
  };
  strips.row_offsets.assign(rows.size() + 1, 0);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    strips.row_offsets[row + 1] =
        strips.row_offsets[row] + static_cast<std::int64_t>(rows[row].size());
    for (const Strip& strip : rows[row]) {
      ++visited[column_of(row, strip) + 1];
      stored[column_of(row, strip) + 1] += strip.stored() ? 1 : 0;
    }
  }
  for (std::size_t column = 0; column < columns; ++column) {
    visited[column + 1] += visited[column];
    stored[column + 1] += stored[column];
  }
  const auto total = static_cast<std::size_t>(visited.back());
  if (total > std::size_t{std::numeric_limits<std::int32_t>::max()}) {
    throw Error(ErrorCode::unsupported,
                "the mask visits " + std::to_string(total) + " strips of 64x128, more than 2^31");
  }
  strips.column_offsets.assign(visited.begin(), visited.end());
  strips.by_row.reserve(total);
  strips.by_column.resize(total);
  strips.bits.assign(static_cast<std::size_t>(stored.back()) * kStripWords, 0);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto block =
        static_cast<std::uint32_t>(row % static_cast<std::size_t>(strips.row_blocks));
    for (const Strip& strip : rows[row]) {
      const std::size_t column = column_of(row, strip);
      const std::uint32_t place =
          strip.stored() ? static_cast<std::uint32_t>(stored[column]++) : kNoBits;
      strips.by_row.push_back({static_cast<std::uint32_t>(strip.key_tile) | strip.states(), place});
      strips.by_column[static_cast<std::size_t>(visited[column]++)] = {block | strip.states(),
                                                                       place};
    }
  }
}

/// State of key block c of a strip.
std::uint32_t state_of(const StripEntry& strip, int c) {
  return strip.block >> (kKeyTileBits + 2 * static_cast<unsigned>(c)) & 3U;
}

}  // namespace

bool can_lay_out(TileShape tile) noexcept {
  return tile.block_m % kQuadrant == 0 && tile.block_n % kQuadrant == 0;
}

Strips cut_strips(const BlockMask& mask, int threads) {
  threads = thread_count(threads);
  Strips strips;
  strips.n_q = mask.n_q();
  strips.n_k = mask.n_k();
  strips.masks = mask.batch() * mask.heads();
  strips.row_blocks = (mask.n_q() + kQuadrant - 1) / kQuadrant;
  strips.key_tiles = (mask.n_k() + kStripKeys - 1) / kStripKeys;

  RowsOfStrips rows(static_cast<std::size_t>(strips.masks) *
                    static_cast<std::size_t>(strips.row_blocks));
  std::vector<TileLists> lists;
  for (std::int32_t m = 0; m < strips.masks; ++m) {
    lists.push_back(mask.lists(m / mask.heads(), m % mask.heads()));
  }
  parallel_for(threads, static_cast<std::int64_t>(rows.size()), [&](std::int64_t row, int) {
    const Cutter cutter(mask, lists[static_cast<std::size_t>(row / strips.row_blocks)]);
    rows[static_cast<std::size_t>(row)] = cutter.row_block(row % strips.row_blocks);
  });
  index_strips(rows, strips);
  parallel_for(threads, static_cast<std::int64_t>(rows.size()), [&](std::int64_t row, int) {
    const StripEntry* entry =
        strips.by_row.data() + strips.row_offsets[static_cast<std::size_t>(row)];
    for (const Strip& strip : rows[static_cast<std::size_t>(row)]) {
      if (entry->bits != kNoBits) {
        write_words(strip, strips.bits.data() + std::size_t{entry->bits} * kStripWords);
      }
      ++entry;
    }
  });
  return strips;
}

Layout lay_out(const Strips& strips, int groups) {
  Layout layout;
  layout.row_tiles = (strips.row_blocks + groups - 1) / groups;
  std::vector<TileEntry> partial;
  for (std::int32_t m = 0; m < strips.masks; ++m) {
    for (std::int32_t t = 0; t < layout.row_tiles; ++t) {
      WorkItem item{t, static_cast<std::int32_t>(layout.tiles.size()), 0, m};
      // The lists of the tile's row blocks ascend by key tile: merge them.
      const std::int32_t first = t * groups;
      const std::int32_t count = std::min(groups, strips.row_blocks - first);
      std::array<const StripEntry*, 8> next{}, end{};
      for (std::int32_t g = 0; g < count; ++g) {
        const auto row = static_cast<std::size_t>(m) * static_cast<std::size_t>(strips.row_blocks) +
                         static_cast<std::size_t>(first + g);
        next[static_cast<std::size_t>(g)] = strips.by_row.data() + strips.row_offsets[row];
        end[static_cast<std::size_t>(g)] = strips.by_row.data() + strips.row_offsets[row + 1];
        if (next[static_cast<std::size_t>(g)] == end[static_cast<std::size_t>(g)]) {
          layout.empty_blocks.push_back({m, first + g});
        }
      }
      constexpr std::uint32_t kPlace = (1U << kKeyTileBits) - 1;
      partial.clear();
      for (;;) {
        std::uint32_t key = kPlace + 1;
        for (std::size_t g = 0; g < static_cast<std::size_t>(count); ++g) {
          if (next[g] != end[g]) key = std::min(key, next[g]->block & kPlace);
        }
        if (key > kPlace) break;
        TileEntry tile{key, kNoBits};
        for (std::size_t g = 0; g < static_cast<std::size_t>(count); ++g) {
          if (next[g] == end[g] || (next[g]->block & kPlace) != key) continue;
          for (int c = 0; c < kKeyBlocks; ++c) {
            tile.key |=
                state_of(*next[g], c)
                << (kKeyTileBits + 2 * (2 * static_cast<unsigned>(g) + static_cast<unsigned>(c)));
          }
          tile.bits = std::min(tile.bits, next[g]->bits);
          ++next[g];
        }
        (tile.bits == kNoBits ? layout.tiles : partial).push_back(tile);
      }
      layout.tiles.insert(layout.tiles.end(), partial.begin(), partial.end());
      item.n_tiles = static_cast<std::int32_t>(layout.tiles.size()) - item.first_tile;
      layout.rows.push_back(item);
      if (item.n_tiles != 0) layout.items.push_back(item);
    }
  }
  std::stable_sort(layout.items.begin(), layout.items.end(),
                   [](const WorkItem& a, const WorkItem& b) { return a.n_tiles > b.n_tiles; });
  return layout;
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/algorithms.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "attn/error.hpp"

namespace attn::hopper {
namespace {

constexpr std::uint32_t kPlace = (1U << kKeyTileBits) - 1;

/// The states of a strip whose quadrants are full.
constexpr std::uint32_t kFullStrip = kFull | kFull << 2;

/// Strip (m, c, r) of the bits that are kept, those of key tiles from `first_column` on.
struct AllStrips {
  std::int64_t row_blocks, key_tiles, first_column;

  [[nodiscard]] std::int64_t columns() const { return key_tiles - first_column; }
  [[nodiscard]] std::int64_t place(std::int64_t m, std::int64_t c, std::int64_t r) const {
    return (m * columns() + c - first_column) * row_blocks + r;
  }
};

/// The words of those strips.
std::vector<std::uint32_t> all_bits(const Strips& strips, const AllStrips& all) {
  std::vector<std::uint32_t> bits(
      static_cast<std::size_t>(strips.masks * all.columns() * all.row_blocks * kStripWords), 0);
  for (std::int64_t m = 0; m < strips.masks; ++m) {
    for (std::int64_t c = all.first_column; c < all.key_tiles; ++c) {
      const auto column = static_cast<std::size_t>(m * all.key_tiles + c);
      for (std::int32_t s = strips.column_offsets[column]; s < strips.column_offsets[column + 1];
           ++s) {
        const StripEntry& strip = strips.by_column[static_cast<std::size_t>(s)];
        std::uint32_t* const words =
            bits.data() + all.place(m, c, strip.block & kPlace) * kStripWords;
        if (strip.bits != kNoBits) {
          std::memcpy(words, strips.bits.data() + std::size_t{strip.bits} * kStripWords,
                      kStripWords * sizeof(std::uint32_t));
          continue;
        }
        for (unsigned block = 0; block < 2; ++block) {
          if ((strip.block >> (kKeyTileBits + 2 * block) & 3U) != kFull) continue;
          for (int thread = 0; thread < 128; ++thread) words[thread * 2 + block] = ~0U;
        }
      }
    }
  }
  return bits;
}

/// What the units of a line hold.
enum class Kind : std::uint8_t { empty, partial, full };

/// Each key tile of a row of tiles; a tile is full when its query blocks inside the mask are.
std::vector<Kind> kinds_of(const Layout& layout, const WorkItem& row, std::uint32_t all_full,
                           std::int32_t key_tiles) {
  std::vector<Kind> kinds(static_cast<std::size_t>(key_tiles), Kind::empty);
  for (std::int32_t t = 0; t < row.n_tiles; ++t) {
    const TileEntry& tile = layout.tiles[static_cast<std::size_t>(row.first_tile + t)];
    kinds[tile.key & kPlace] = tile.key >> kKeyTileBits == all_full ? Kind::full : Kind::partial;
  }
  return kinds;
}

/// Each strip of a key tile.
std::vector<Kind> kinds_of(const Strips& strips, std::size_t column) {
  std::vector<Kind> kinds(static_cast<std::size_t>(strips.row_blocks), Kind::empty);
  for (std::int32_t s = strips.column_offsets[column]; s < strips.column_offsets[column + 1]; ++s) {
    const StripEntry& strip = strips.by_column[static_cast<std::size_t>(s)];
    kinds[strip.block & kPlace] =
        strip.block >> kKeyTileBits == kFullStrip ? Kind::full : Kind::partial;
  }
  return kinds;
}

/// The first run of full units: the paper's `offset` and `total_ones`. Its code counts all full
/// tiles of the line, which is wrong as soon as they have a gap.
Run first_run(const std::vector<Kind>& kinds) {
  const auto begin = std::find(kinds.begin(), kinds.end(), Kind::full);
  const auto end = std::find_if(begin, kinds.end(), [](Kind kind) { return kind != Kind::full; });
  return {static_cast<std::int32_t>(begin - kinds.begin()), static_cast<std::int32_t>(end - begin)};
}

/// The list of one pass by an algorithm, and what a scan makes it from.
template <class Entry>
class Visits {
 public:
  Visits(Algorithm algorithm, std::int32_t units, std::uint32_t strips_per_unit)
      : algorithm_(algorithm), units_(units), strips_per_unit_(strips_per_unit) {}

  /// Adds a line; returns how many units are visited.
  std::int32_t add(const std::vector<Kind>& kinds, std::uint32_t full, std::int64_t first_strip) {
    ScanLine line{.first_entry = static_cast<std::int32_t>(entries_.size()),
                  .full = full,
                  .first_strip = static_cast<std::uint32_t>(first_strip),
                  .ones = {0, 0}};
    if (algorithm_ == Algorithm::dense || algorithm_ == Algorithm::dense_bbm) {
      line.ones = first_run(kinds);
    }
    for (std::int32_t unit = 0; unit < units_; ++unit) {
      const bool flag = kinds[static_cast<std::size_t>(unit)] != Kind::empty;
      flags_.push_back(flag ? 1 : 0);
      if (scans() && !flag) continue;
      entries_.push_back(entry_of<Entry>(line, unit, strips_per_unit_));
    }
    lines_.push_back(line);
    full_ += line.ones.total_ones;
    return static_cast<std::int32_t>(entries_.size()) - line.first_entry;
  }

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] std::int64_t full() const { return full_; }

  /// What the calls scan, if they do: the list on the device is cleared, each call writes it.
  [[nodiscard]] PreparedScan scan(cuda::DeviceArray<Entry>& list) const {
    if (!scans()) return {};
    cuda::check(cudaMemset(list.data(), 0, list.size() * sizeof(Entry)), "clearing a list");
    return {upload(flags_), upload(lines_), units_, strips_per_unit_};
  }

 private:
  [[nodiscard]] bool scans() const {
    return algorithm_ == Algorithm::bbm || algorithm_ == Algorithm::dense_bbm;
  }

  Algorithm algorithm_;
  std::int32_t units_;
  std::uint32_t strips_per_unit_;
  std::vector<Entry> entries_;
  std::vector<std::uint8_t> flags_;
  std::vector<ScanLine> lines_;
  std::int64_t full_ = 0;
};

PreparedTiles prepare_tiles(const Strips& strips, const AllStrips& all, Algorithm algorithm,
                            int groups) {
  const Layout lists = lay_out(strips, groups);
  Visits<TileEntry> visits(algorithm, strips.key_tiles,
                           static_cast<std::uint32_t>(strips.row_blocks));
  Layout visited;
  visited.row_tiles = lists.row_tiles;
  visited.empty_blocks = lists.empty_blocks;
  for (WorkItem row : lists.rows) {
    const std::int32_t first_block = row.row_tile * groups;
    const std::int32_t blocks = std::min(groups, strips.row_blocks - first_block);
    const std::uint32_t all_full = 0x55555555U & ((1U << (4 * blocks)) - 1);
    const std::vector<Kind> kinds = kinds_of(lists, row, all_full, strips.key_tiles);
    row.first_tile = static_cast<std::int32_t>(visits.entries().size());
    row.n_tiles = visits.add(kinds, all_full, all.place(row.mask, 0, first_block));
    visited.rows.push_back(row);
    if (row.n_tiles != 0) visited.items.push_back(row);
  }
  std::stable_sort(visited.items.begin(), visited.items.end(),
                   [](const WorkItem& a, const WorkItem& b) { return a.n_tiles > b.n_tiles; });
  visited.tiles = visits.entries();

  PreparedTiles prepared = upload_tiles(visited, groups);
  // With every tile visited all warpgroups run the same steps, as if all were full.
  prepared.full_tiles = algorithm == Algorithm::naive ? prepared.total_tiles : visits.full();
  prepared.scan = visits.scan(prepared.tiles);
  return prepared;
}

/// The lists of the pass over keys.
void prepare_columns(const Strips& strips, const AllStrips& all, Algorithm algorithm,
                     PreparedMask& prepared) {
  Visits<StripEntry> visits(algorithm, strips.row_blocks, 1);
  std::vector<std::int32_t> offsets{0};
  for (std::int64_t m = 0; m < strips.masks; ++m) {
    for (std::int64_t c = 0; c < strips.key_tiles; ++c) {
      const auto column = static_cast<std::size_t>(m * strips.key_tiles + c);
      offsets.push_back(offsets.back() +
                        visits.add(kinds_of(strips, column), kFullStrip, all.place(m, c, 0)));
    }
  }
  prepared.by_column = upload(visits.entries());
  prepared.column_offsets = upload(offsets);
  prepared.column_scan = visits.scan(prepared.by_column);
}

}  // namespace

std::shared_ptr<const PreparedMask> prepare_algorithm(const BlockMask& mask, Algorithm algorithm,
                                                      bool backward, int threads) {
  const std::int64_t tiles =
      std::int64_t{mask.row_tiles()} * mask.key_tiles() * mask.batch() * mask.heads();
  if (algorithm == Algorithm::dense && mask.full_count() != tiles) {
    throw Error(ErrorCode::invalid_argument, "the algorithm dense looks at no mask, but only " +
                                                 std::to_string(mask.full_count()) +
                                                 " of the mask's " + std::to_string(tiles) +
                                                 " tiles are full");
  }
  const Strips strips = cut_strips(mask, threads);
  // Without a mask only the keys of the last tile may need bits.
  const AllStrips all{strips.row_blocks, strips.key_tiles,
                      algorithm == Algorithm::dense ? std::max(strips.key_tiles - 1, 0) : 0};
  const auto prepared = std::make_shared<PreparedMask>();
  prepared->shape = MaskShape(mask);
  prepared->row_blocks = strips.row_blocks;
  prepared->key_tiles = strips.key_tiles;
  for (const int groups : tile_heights()) {
    prepared->tiles.push_back(prepare_tiles(strips, all, algorithm, groups));
  }
  if (backward) prepare_columns(strips, all, algorithm, *prepared);
  prepared->bits = upload(all_bits(strips, all));
  prepared->holds_a_mask = true;
  return prepared;
}

}  // namespace attn::hopper

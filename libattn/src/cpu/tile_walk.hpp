// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "attn/backend.hpp"

namespace attn::cpu {

/// The key tiles of a row tile, in the order in which an algorithm visits them.
class TileWalk {
 public:
  /// Borrows the mask. Throws Error{invalid_argument} for `dense` and a mask that forbids anything.
  TileWalk(const BlockMask& mask, Algorithm algorithm);

  /// Calls visit(key tile, bits): bits as in BlockMask, or null where none are looked at.
  template <class Visit>
  void row(const BlockMask& mask, std::int64_t b, std::int64_t h, std::int32_t row_tile,
           Visit&& visit) const {
    if (algorithm_ == Algorithm::lists) {
      const TileLists lists = mask.lists(b, h);
      for (const std::int32_t tile : lists.full(row_tile)) visit(tile, nullptr);
      const std::uint8_t* bits =
          lists.partial_bits.data() +
          lists.partial_offsets[static_cast<std::size_t>(row_tile)] * tile_bytes_;
      for (const std::int32_t tile : lists.partial(row_tile)) {
        visit(tile, bits);
        bits += tile_bytes_;
      }
      return;
    }
    if (algorithm_ == Algorithm::dense) {
      for (std::int32_t tile = 0; tile < key_tiles_; ++tile) visit(tile, nullptr);
      return;
    }
    const Scan& scan = scans_[static_cast<std::size_t>((mask.batch() == 1 ? 0 : b) * mask.heads() +
                                                       (mask.heads() == 1 ? 0 : h))];
    const auto first = static_cast<std::size_t>(std::int64_t{row_tile} * key_tiles_);
    const std::uint8_t* const flags = scan.flags.data() + first;
    const std::uint8_t* const bits =
        scan.bits.data() + first * static_cast<std::size_t>(tile_bytes_);
    const Run run =
        algorithm_ == Algorithm::dense_bbm ? scan.ones[static_cast<std::size_t>(row_tile)] : Run{};
    for (std::int32_t tile = 0; tile < key_tiles_; ++tile) {
      if (flags[tile] == 0 && algorithm_ != Algorithm::naive) continue;
      const bool all_ones = tile >= run.begin && tile < run.end;
      visit(tile, all_ones ? nullptr : bits + tile * tile_bytes_);
    }
  }

  /// How many tiles `row` visits, without visiting them where the lists know.
  [[nodiscard]] std::int64_t count(const BlockMask& mask, std::int64_t b, std::int64_t h,
                                   std::int32_t row_tile) const {
    if (algorithm_ == Algorithm::lists) {
      const TileLists lists = mask.lists(b, h);
      return static_cast<std::int64_t>(lists.full(row_tile).size() +
                                       lists.partial(row_tile).size());
    }
    std::int64_t tiles = 0;
    row(mask, b, h, row_tile, [&](std::int32_t, const std::uint8_t*) { ++tiles; });
    return tiles;
  }

 private:
  struct Run {
    std::int32_t begin = 0;
    std::int32_t end = 0;
  };

  /// One mask as the Binary Block Masking paper stores it.
  struct Scan {
    std::vector<std::uint8_t> flags;  ///< [row tile][key tile], 0 for an empty tile
    std::vector<Run> ones;            ///< [row tile], its first run of full tiles
    std::vector<std::uint8_t> bits;   ///< [row tile][key tile][tile_bytes], empty tiles too
  };

  [[nodiscard]] Scan scan(const BlockMask& mask, std::int64_t b, std::int64_t h) const;

  Algorithm algorithm_;
  std::int32_t key_tiles_;
  std::int64_t tile_bytes_;
  std::vector<Scan> scans_;
};

}  // namespace attn::cpu

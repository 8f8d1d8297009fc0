// SPDX-License-Identifier: Apache-2.0
#include "cpu/tile_walk.hpp"

#include <algorithm>
#include <string>

#include "attn/error.hpp"

namespace attn::cpu {
namespace {

/// Sets the bits of a full tile that lie inside the mask.
void set_inside(std::uint8_t* bits, TileShape tile, std::int32_t rows, std::int32_t cols) {
  const std::int32_t row_bytes = tile.block_n / 8;
  for (std::int32_t r = 0; r < rows; ++r) {
    std::uint8_t* const row = bits + r * row_bytes;
    std::fill_n(row, cols / 8, std::uint8_t{0xff});
    if (cols % 8 != 0) row[cols / 8] = static_cast<std::uint8_t>((1 << cols % 8) - 1);
  }
}

}  // namespace

TileWalk::TileWalk(const BlockMask& mask, Algorithm algorithm)
    : algorithm_(algorithm), key_tiles_(mask.key_tiles()), tile_bytes_(mask.bits_per_tile() / 8) {
  if (algorithm == Algorithm::lists) return;
  if (algorithm == Algorithm::dense) {
    const std::int64_t all =
        std::int64_t{mask.row_tiles()} * key_tiles_ * mask.batch() * mask.heads();
    if (mask.full_count() == all) return;
    throw Error(ErrorCode::invalid_argument, "the algorithm dense looks at no mask, but only " +
                                                 std::to_string(mask.full_count()) +
                                                 " of the mask's " + std::to_string(all) +
                                                 " tiles are full");
  }
  for (std::int32_t b = 0; b < mask.batch(); ++b) {
    for (std::int32_t h = 0; h < mask.heads(); ++h) scans_.push_back(scan(mask, b, h));
  }
}

TileWalk::Scan TileWalk::scan(const BlockMask& mask, std::int64_t b, std::int64_t h) const {
  const auto tiles = static_cast<std::size_t>(std::int64_t{mask.row_tiles()} * key_tiles_);
  Scan result{std::vector<std::uint8_t>(tiles), {}, {}};
  result.bits.resize(tiles * static_cast<std::size_t>(tile_bytes_));
  const TileLists lists = mask.lists(b, h);
  const std::uint8_t* partial_bits = lists.partial_bits.data();
  for (std::int32_t t = 0; t < mask.row_tiles(); ++t) {
    const auto first = static_cast<std::size_t>(std::int64_t{t} * key_tiles_);
    std::uint8_t* const bits = result.bits.data() + first * static_cast<std::size_t>(tile_bytes_);
    const auto full = lists.full(t);
    const std::int32_t rows = std::min(mask.tile().block_m, mask.n_q() - t * mask.tile().block_m);
    for (const std::int32_t tile : full) {
      result.flags[first + static_cast<std::size_t>(tile)] = 1;
      const std::int32_t cols =
          std::min(mask.tile().block_n, mask.n_k() - tile * mask.tile().block_n);
      set_inside(bits + tile * tile_bytes_, mask.tile(), rows, cols);
    }
    for (const std::int32_t tile : lists.partial(t)) {
      result.flags[first + static_cast<std::size_t>(tile)] = 1;
      std::copy_n(partial_bits, tile_bytes_, bits + tile * tile_bytes_);
      partial_bits += tile_bytes_;
    }
    Run run;
    if (!full.empty()) {
      run = {full[0], full[0] + 1};
      for (std::size_t i = 1; i < full.size() && full[i] == run.end; ++i) ++run.end;
    }
    result.ones.push_back(run);
  }
  return result;
}

}  // namespace attn::cpu

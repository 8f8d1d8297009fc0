// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/prepared_mask.hpp"

#include <algorithm>
#include <cassert>
#include <span>

namespace attn::hopper {
namespace {

template <class T>
cuda::DeviceArray<T> upload(const std::vector<T>& host) {
  return cuda::DeviceArray<T>(std::span<const T>(host));
}

/// The states of a tile whose quadrants are all full.
std::uint32_t full_states(int groups) {
  std::uint32_t states = 0;
  for (int quadrant = 0; quadrant < 2 * groups; ++quadrant) {
    states |= std::uint32_t{kFull} << (2 * quadrant);
  }
  return states;
}

PreparedTiles prepare_tiles(const Strips& strips, int groups) {
  const Layout layout = lay_out(strips, groups);
  PreparedTiles prepared;
  prepared.groups = groups;
  prepared.row_tiles = layout.row_tiles;
  prepared.n_empty_blocks = static_cast<std::int32_t>(layout.empty_blocks.size());
  for (const WorkItem& item : layout.items) prepared.lengths.push_back(item.n_tiles);
  prepared.total_tiles = static_cast<std::int64_t>(layout.tiles.size());
  prepared.full_tiles = std::count_if(
      layout.tiles.begin(), layout.tiles.end(),
      [full = full_states(groups)](const TileEntry& t) { return (t.key >> kKeyTileBits) == full; });
  prepared.items = upload(layout.items);
  prepared.rows = upload(layout.rows);
  prepared.tiles = upload(layout.tiles);
  prepared.empty_blocks = upload(layout.empty_blocks);
  return prepared;
}

}  // namespace

PreparedMask::PreparedMask(const BlockMask& mask, std::span<const int> heights, int threads)
    : batch_(mask.batch()), heads_(mask.heads()) {
  const Strips strips = cut_strips(mask, threads);
  row_blocks_ = strips.row_blocks;
  key_tiles_ = strips.key_tiles;
  for (const int groups : heights) tiles_.push_back(prepare_tiles(strips, groups));
  bits_ = upload(strips.bits);
  by_column_ = upload(strips.by_column);
  column_offsets_ = upload(strips.column_offsets);
}

const PreparedTiles& PreparedMask::of(int groups) const {
  const auto found = std::find_if(tiles_.begin(), tiles_.end(),
                                  [&](const PreparedTiles& t) { return t.groups == groups; });
  assert(found != tiles_.end() && "a kernel's tile height was not prepared");
  return *found;
}

bool PreparedMask::mostly_full(int groups) const {
  const PreparedTiles& prepared = of(groups);
  return prepared.full_tiles * 100 >= prepared.total_tiles * 99;
}

DeviceMask PreparedMask::tiles(int groups, std::int32_t head_group, int multiprocessors) const {
  const PreparedTiles& prepared = of(groups);
  DeviceMask mask{.items = prepared.items.data(),
                  .rows = prepared.rows.data(),
                  .tiles = prepared.tiles.data(),
                  .bits = bits_.data(),
                  .empty_blocks = prepared.empty_blocks.data(),
                  .n_items = static_cast<std::int32_t>(prepared.lengths.size()),
                  .heavy_items = 0,
                  .n_empty_blocks = prepared.n_empty_blocks,
                  .row_tiles = prepared.row_tiles,
                  .batch = batch_,
                  .heads = heads_,
                  .q_order = nullptr,
                  .kv_order = nullptr};
  if (prepared.lengths.empty()) return mask;
  const std::int64_t group_time = prepared.total_tiles * head_group / multiprocessors;
  const std::int64_t mean =
      prepared.total_tiles / static_cast<std::int64_t>(prepared.lengths.size());
  const std::int64_t limit = std::max(group_time / 2, 2 * mean);
  const auto end = std::partition_point(prepared.lengths.begin(), prepared.lengths.end(),
                                        [limit](std::int32_t n) { return n > limit; });
  mask.heavy_items = static_cast<std::int32_t>(end - prepared.lengths.begin());
  return mask;
}

DeviceColumns PreparedMask::columns() const {
  return {.strips = by_column_.data(),
          .offsets = column_offsets_.data(),
          .bits = bits_.data(),
          .key_tiles = key_tiles_,
          .row_blocks = row_blocks_,
          .batch = batch_,
          .heads = heads_};
}

}  // namespace attn::hopper

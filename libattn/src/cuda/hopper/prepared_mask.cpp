// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/prepared_mask.hpp"

#include <algorithm>
#include <cassert>
#include <span>

#include "attn/error.hpp"
#include "cuda/hopper/backward_params.hpp"
#include "cuda/hopper/kernels.hpp"

namespace attn::hopper {
namespace {

/// The states of a tile whose quadrants are all full.
std::uint32_t full_states(int groups) {
  std::uint32_t states = 0;
  for (int quadrant = 0; quadrant < 2 * groups; ++quadrant) {
    states |= std::uint32_t{kFull} << (2 * quadrant);
  }
  return states;
}

template <class Entry>
Scan<Entry> lines_of(const PreparedScan& scan, const cuda::DeviceArray<Entry>& entries) {
  return {.flags = scan.flags.data(),
          .lines = scan.lines.data(),
          .entries = entries.data(),
          .n_lines = static_cast<std::int32_t>(scan.lines.size()),
          .units = scan.units,
          .strips_per_unit = scan.strips_per_unit};
}

}  // namespace

PreparedTiles upload_tiles(const Layout& layout, int groups) {
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

std::vector<int> tile_heights() {
  std::vector<int> heights{kBackwardRows / kQuadrant};
  for (const Kernel& kernel : kernels()) {
    const int groups = kernel.block_m / kQuadrant;
    if (std::find(heights.begin(), heights.end(), groups) == heights.end()) {
      heights.push_back(groups);
    }
  }
  return heights;
}

std::shared_ptr<const PreparedMask> prepare_on_host(const BlockMask& mask, int threads) {
  const Strips strips = cut_strips(mask, threads);
  const auto prepared = std::make_shared<PreparedMask>();
  prepared->shape = MaskShape(mask);
  prepared->row_blocks = strips.row_blocks;
  prepared->key_tiles = strips.key_tiles;
  for (const int groups : tile_heights()) {
    prepared->tiles.push_back(upload_tiles(lay_out(strips, groups), groups));
  }
  prepared->bits = upload(strips.bits);
  prepared->by_column = upload(strips.by_column);
  prepared->column_offsets = upload(strips.column_offsets);
  prepared->holds_a_mask = true;
  return prepared;
}

const PreparedTiles& PreparedMask::of(int groups) const {
  const auto found = std::find_if(tiles.begin(), tiles.end(),
                                  [&](const PreparedTiles& t) { return t.groups == groups; });
  assert(found != tiles.end() && "a kernel's tile height was not prepared");
  return *found;
}

double PreparedMask::full_share(int groups) const {
  const PreparedTiles& prepared = of(groups);
  if (prepared.total_tiles == 0) return 1;
  return static_cast<double>(prepared.full_tiles) / static_cast<double>(prepared.total_tiles);
}

Cuts PreparedMask::cuts(int groups, int multiprocessors) const {
  const PreparedTiles& prepared = of(groups);
  return cut_long_items(prepared.lengths, prepared.total_tiles, multiprocessors);
}

DeviceMask PreparedMask::device_mask(int groups, std::int32_t head_group, int multiprocessors,
                                     const Cuts& cuts) const {
  if (!holds_a_mask) {
    throw Error(ErrorCode::invalid_argument, "the device mask of this plan holds no mask");
  }
  const PreparedTiles& prepared = of(groups);
  DeviceMask mask{.items = prepared.items.data(),
                  .rows = prepared.rows.data(),
                  .tiles = prepared.tiles.data(),
                  .bits = bits.data(),
                  .empty_blocks = prepared.empty_blocks.data(),
                  .n_items = static_cast<std::int32_t>(prepared.lengths.size()),
                  .heavy_items = 0,
                  .n_empty_blocks = prepared.n_empty_blocks,
                  .row_tiles = prepared.row_tiles,
                  .batch = shape.batch,
                  .heads = shape.heads,
                  .q_order = nullptr,
                  .kv_order = nullptr};
  if (prepared.lengths.empty()) return mask;
  const std::int64_t group_time = prepared.total_tiles * head_group / multiprocessors;
  const std::int64_t mean =
      prepared.total_tiles / static_cast<std::int64_t>(prepared.lengths.size());
  const std::int64_t limit = std::max(group_time / 2, 2 * mean);
  const auto end = std::partition_point(prepared.lengths.begin(), prepared.lengths.end(),
                                        [limit](std::int32_t n) { return n > limit; });
  const auto heavy = static_cast<std::int32_t>(end - prepared.lengths.begin());
  mask.n_items = first_place(cuts, mask.n_items);
  mask.heavy_items = first_place(cuts, std::max(heavy, cuts.items[0]));
  return mask;
}

void PreparedMask::scan(int groups, bool columns, cudaStream_t stream) const {
  const PreparedTiles& rows = of(groups);
  cuda::check(scan_flags(lines_of(rows.scan, rows.tiles),
                         columns ? lines_of(column_scan, by_column) : Scan<StripEntry>{}, stream),
              "launching the scan of flags");
}

DeviceColumns PreparedMask::columns() const {
  return {.strips = by_column.data(),
          .offsets = column_offsets.data(),
          .bits = bits.data(),
          .key_tiles = key_tiles,
          .batch = shape.batch,
          .heads = shape.heads};
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// A mask in device memory, ready for the kernels: built on the host and copied, or built there.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/hopper/layout.hpp"
#include "cuda/hopper/params.hpp"
#include "cuda/runtime.hpp"

namespace attn::hopper {

/// The lists that the forward pass walks in tiles of one height.
struct PreparedTiles {
  int groups = 0;  ///< height in blocks of 64 queries
  std::int32_t row_tiles = 0;
  std::int32_t n_empty_blocks = 0;
  std::vector<std::int32_t> lengths;  ///< tiles of each item, descending
  std::int64_t total_tiles = 0;
  std::int64_t full_tiles = 0;  ///< of those, with every quadrant full
  cuda::DeviceArray<WorkItem> items, rows;
  cuda::DeviceArray<TileEntry> tiles;
  cuda::DeviceArray<EmptyBlock> empty_blocks;
};

/// Immutable once made, and may be shared by any number of plans.
class PreparedMask {
 public:
  /// Lays the mask out on the host for tiles of each of these heights, in blocks of 64 queries,
  /// and copies it.
  PreparedMask(const BlockMask& mask, std::span<const int> heights, int threads);

  /// The mask for a launch of kernels `groups` blocks high with `head_group` heads side by side.
  /// Items that would start in the last head group and outlast it run before all others.
  [[nodiscard]] DeviceMask tiles(int groups, std::int32_t head_group, int multiprocessors) const;

  /// The mask by columns, for the backward pass.
  [[nodiscard]] DeviceColumns columns() const;

  /// Nearly every tile is full, so that all warpgroups run the same steps: then they gain by taking
  /// turns, else they lose by it (H100, head_dim 64: dense 495 against 483 TF/s without turns,
  /// window +-128 0.658 against 0.563 ms).
  [[nodiscard]] bool mostly_full(int groups) const;

 private:
  [[nodiscard]] const PreparedTiles& of(int groups) const;

  std::int32_t batch_ = 1;
  std::int32_t heads_ = 1;
  std::int32_t row_blocks_ = 0;
  std::int32_t key_tiles_ = 0;
  std::vector<PreparedTiles> tiles_;  // one a height
  cuda::DeviceArray<std::uint32_t> bits_;
  cuda::DeviceArray<StripEntry> by_column_;
  cuda::DeviceArray<std::int32_t> column_offsets_;
};

}  // namespace attn::hopper

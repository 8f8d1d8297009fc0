// SPDX-License-Identifier: Apache-2.0
//
// A mask in device memory, ready for the kernels: built on the host and copied, or built there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cuda/hopper/layout.hpp"
#include "cuda/hopper/params.hpp"
#include "cuda/hopper/scan.hpp"
#include "cuda/runtime.hpp"
#include "mask_shape.hpp"

namespace attn::hopper {

/// Of the algorithms that scan (algorithms.hpp): what each call writes a list from. Else empty.
struct PreparedScan {
  cuda::DeviceArray<std::uint8_t> flags;
  cuda::DeviceArray<ScanLine> lines;
  std::int32_t units = 0;
  std::uint32_t strips_per_unit = 0;
};

/// The lists that a pass over rows walks in tiles of one height.
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
  PreparedScan scan;  ///< of `tiles`
};

template <class T>
[[nodiscard]] cuda::DeviceArray<T> upload(const std::vector<T>& host) {
  return cuda::DeviceArray<T>(std::span<const T>(host));
}

/// A copy of the lists on the device, with their counts.
[[nodiscard]] PreparedTiles upload_tiles(const Layout& layout, int groups);

/// Made by prepare_on_host, and not changed from then on; or by a DeviceBlockMask, which changes it
/// when it is built again, for all plans that share it. Arrays may be longer than what is in them.
struct PreparedMask {
  MaskShape shape;
  bool holds_a_mask = false;         ///< false: no build has succeeded since it was made or changed
  std::int32_t row_blocks = 0;       ///< of 64 queries
  std::int32_t key_tiles = 0;        ///< of 128 keys
  std::vector<PreparedTiles> tiles;  ///< one a height of tile_heights()
  cuda::DeviceArray<std::uint32_t> bits;
  cuda::DeviceArray<StripEntry> by_column;
  cuda::DeviceArray<std::int32_t> column_offsets;
  PreparedScan column_scan;  ///< of `by_column`

  /// The mask for a launch of kernels `groups` blocks high with `head_group` heads side by side.
  /// Items that would start in the last head group and outlast it run before all others, and so do
  /// parts of items.
  [[nodiscard]] DeviceMask device_mask(int groups, std::int32_t head_group, int multiprocessors,
                                       const Cuts& cuts = {}) const;

  /// How the forward pass cuts its long items.
  [[nodiscard]] Cuts cuts(int groups, int multiprocessors) const;

  /// For the algorithms that scan, launches the scan that writes the lists of such a kernel, and of
  /// a pass over columns.
  void scan(int groups, bool columns, cudaStream_t stream) const;

  /// The mask by columns, for the backward pass.
  [[nodiscard]] DeviceColumns columns() const;

  /// Tiles that a head visits, and those of its longest item or part of one.
  [[nodiscard]] std::int64_t visited_tiles(int groups) const { return of(groups).total_tiles; }
  [[nodiscard]] std::int32_t longest_item(int groups, const Cuts& cuts) const {
    return longest_part(cuts, of(groups).lengths);
  }

  /// How many of the tiles that are visited are full, of 1.
  [[nodiscard]] double full_share(int groups) const;

 private:
  [[nodiscard]] const PreparedTiles& of(int groups) const;
};

/// The tile heights that the kernels need, in blocks of 64 queries.
[[nodiscard]] std::vector<int> tile_heights();

/// Lays the mask out on the host for every tile height, and copies it.
[[nodiscard]] std::shared_ptr<const PreparedMask> prepare_on_host(const BlockMask& mask,
                                                                  int threads);

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// Long rows of tiles cut along their keys, so that one of them does not outlast all other work. A
// part is an item of its own with some tiles of the row; it leaves O and LSE in the workspace, and
// a kernel behind joins the parts of a row in their order (merge.cuh).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

namespace attn::hopper {

/// How often the items of a mask are halved. Items come longest first, so that those halved as
/// often follow each other and a few counts tell all.
struct Cuts {
  static constexpr int kMostHalvings = 8;

  /// items[h - 1]: how many are halved h times or more; items[0] of them are cut at all.
  std::int32_t items[kMostHalvings];
};

/// A place in the list of items in which each cut one is replaced by its parts.
struct Part {
  std::int32_t item;
  std::int32_t number;  ///< among the 2^halvings parts of the item
  int halvings;
};

__host__ __device__ inline Part part_at(const Cuts& cuts, std::int32_t place) {
  std::int32_t item = 0;
  for (int halvings = Cuts::kMostHalvings; halvings > 0; --halvings) {
    const std::int32_t end = cuts.items[halvings - 1];
    const std::int32_t parts = (end - item) << halvings;
    if (place < parts) {
      return {item + (place >> halvings), place & ((1 << halvings) - 1), halvings};
    }
    place -= parts;
    item = end;
  }
  return {item + place, 0, 0};
}

/// The place of an item's first part, or of the item. That of item + 1 is the end of its parts.
__host__ __device__ inline std::int32_t first_place(const Cuts& cuts, std::int32_t item) {
  // 2^h = 1 + the sum of 2^(g - 1) over g = 1 ... h.
  std::int32_t place = item;
  for (int halvings = 1; halvings <= Cuts::kMostHalvings; ++halvings) {
    const std::int32_t end = cuts.items[halvings - 1];
    place += (item < end ? item : end) << (halvings - 1);
  }
  return place;
}

/// The first tile of part `number`, of an item's n_tiles; that of the next part is its end.
__host__ __device__ inline std::int32_t part_begin(std::int32_t n_tiles, std::int32_t number,
                                                   int halvings) {
  return static_cast<std::int32_t>((std::int64_t{n_tiles} * number) >> halvings);
}

/// Halves items until no part is longer than 4 mean items, or than a multiprocessor's share of one
/// head, or than kShortestCut, whichever is the most. That follows from the mask and the machine
/// alone: how many heads run beside a head changes none of its bits. At most a quarter of the items
/// can be cut, and their parts are at most half as many as items. `lengths` are the items' numbers
/// of tiles, descending, `total` is their sum.
[[nodiscard]] Cuts cut_long_items(std::span<const std::int32_t> lengths, std::int64_t total,
                                  int multiprocessors);

/// Tiles of the longest part, or of the longest item that is not cut; 0 without items.
[[nodiscard]] std::int32_t longest_part(const Cuts& cuts, std::span<const std::int32_t> lengths);

/// Tiles of the longest item that is never cut (measured: docs/notebook.md).
inline constexpr std::int32_t kShortestCut = 128;

}  // namespace attn::hopper

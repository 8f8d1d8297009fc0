// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <vector>

#include "attn/block_mask.hpp"

namespace attn {

/// The grid of tiles over an n_q × n_k mask.
struct TileGrid {
  std::int32_t n_q, n_k;
  std::int32_t block_m, block_n;

  [[nodiscard]] std::int64_t row_begin(std::int64_t row_tile) const noexcept {
    return row_tile * block_m;
  }
  [[nodiscard]] std::int64_t rows_in(std::int64_t row_tile) const noexcept {
    return std::min<std::int64_t>(block_m, n_q - row_begin(row_tile));
  }
  [[nodiscard]] std::int64_t cols_in(std::int64_t key_tile) const noexcept {
    return std::min<std::int64_t>(block_n, n_k - key_tile * block_n);
  }
};

/// How many elements each key tile of one row of tiles holds, and which hold any, in any order.
struct TileCounts {
  std::vector<std::int32_t> count;  ///< a number per key tile, at most 256 · 256
  std::vector<std::int32_t> touched;

  void add(std::int32_t tile, std::int32_t elements) {
    std::int32_t& sum = count[static_cast<std::size_t>(tile)];
    if (sum == 0) touched.push_back(tile);
    sum += elements;
  }
};

/// Where the bits of each partial key tile go; null for the other tiles.
using TileSlots = std::vector<std::uint8_t*>;

/// A mask that can be read by rows of tiles, several at once.
template <class P>
concept Pattern = requires(const P& pattern, const TileGrid& grid, std::int64_t row_tile,
                           TileCounts& counts, const TileSlots& slots) {
  { pattern.count(grid, row_tile, counts) } -> std::same_as<void>;
  { pattern.pack(grid, row_tile, slots) } -> std::same_as<void>;
};

/// A CSR pattern, checked: the offsets when it is made, each row's columns while it is counted.
class CsrSource {
 public:
  explicit CsrSource(const CsrPattern& pattern);
  void count(const TileGrid& grid, std::int64_t row_tile, TileCounts& counts) const;
  void pack(const TileGrid& grid, std::int64_t row_tile, const TileSlots& slots) const;

 private:
  [[noreturn]] void report_bad_row(std::int64_t row) const;

  CsrPattern csr_;
};

/// A dense mask of bytes or bits.
class DenseSource {
 public:
  explicit DenseSource(const DensePattern& pattern);
  void count(const TileGrid& grid, std::int64_t row_tile, TileCounts& counts) const;
  void pack(const TileGrid& grid, std::int64_t row_tile, const TileSlots& slots) const;

 private:
  [[nodiscard]] const std::uint8_t* row(std::int64_t i) const noexcept {
    return static_cast<const std::uint8_t*>(dense_.data) + i * dense_.row_stride;
  }

  DensePattern dense_;
};

}  // namespace attn

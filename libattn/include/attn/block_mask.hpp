// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace attn {

/// Tile shape: block_m queries by block_n keys, each a multiple of 8 in [8, 256].
struct TileShape {
  std::int32_t block_m = 128;
  std::int32_t block_n = 128;

  friend bool operator==(const TileShape&, const TileShape&) = default;
};

/// "128x64".
[[nodiscard]] std::string to_string(TileShape tile);

/// A borrowed CSR pattern of allowed (query, key) pairs: row i allows
/// `cols[offsets[i] .. offsets[i + 1])`, strictly increasing in [0, n_k).
struct CsrPattern {
  std::int32_t n_q = 0;
  std::int32_t n_k = 0;
  std::span<const std::int64_t> offsets;
  std::span<const std::int32_t> cols;
};

/// A borrowed dense mask, row-major with `row_stride` bytes from row to row.
/// As bytes: one a pair, non-zero allows. As bits: bit j % 8 of byte j / 8 of row i allows (i, j).
struct DensePattern {
  enum class Format { bytes, bits };
  std::int32_t n_q = 0;
  std::int32_t n_k = 0;
  const void* data = nullptr;
  std::int64_t row_stride = 0;
  Format format = Format::bytes;
};

/// One mask of a BlockMask: which tiles a row of tiles visits. Key tiles ascend in each list.
/// A tile is full when all its elements inside the mask are allowed, so ragged edges can be full.
struct TileLists {
  std::span<const std::int64_t> full_offsets;     ///< row_tiles + 1
  std::span<const std::int32_t> full_tiles;       ///< key tile of each full tile
  std::span<const std::int64_t> partial_offsets;  ///< row_tiles + 1
  std::span<const std::int32_t> partial_tiles;    ///< key tile of each partial tile
  std::span<const std::uint8_t> partial_bits;     ///< bits_per_tile() / 8 bytes a partial tile

  [[nodiscard]] std::span<const std::int32_t> full(std::int64_t row_tile) const noexcept {
    return slice(full_tiles, full_offsets, row_tile);
  }
  [[nodiscard]] std::span<const std::int32_t> partial(std::int64_t row_tile) const noexcept {
    return slice(partial_tiles, partial_offsets, row_tile);
  }

 private:
  static std::span<const std::int32_t> slice(std::span<const std::int32_t> tiles,
                                             std::span<const std::int64_t> offsets,
                                             std::int64_t row_tile) noexcept {
    const auto begin = static_cast<std::size_t>(offsets[static_cast<std::size_t>(row_tile)]);
    const auto end = static_cast<std::size_t>(offsets[static_cast<std::size_t>(row_tile) + 1]);
    return tiles.subspan(begin, end - begin);
  }
};

/// One mask of a BlockMask, read by columns: which row tiles visit a key tile, for a pass that sums
/// over queries. An owned value that follows from TileLists. Row tiles ascend in each list.
struct TransposedLists {
  std::vector<std::int64_t> full_offsets;     ///< key_tiles + 1
  std::vector<std::int32_t> full_tiles;       ///< row tile of each full tile
  std::vector<std::int64_t> partial_offsets;  ///< key_tiles + 1
  std::vector<std::int32_t> partial_tiles;    ///< row tile of each partial tile

  /// Beside partial_tiles: the place of the tile in TileLists::partial_tiles. Its bits, row after
  /// row as ever, start at byte place · bits_per_tile() / 8 of TileLists::partial_bits.
  std::vector<std::int64_t> partial_places;

  [[nodiscard]] std::span<const std::int32_t> full(std::int64_t key_tile) const noexcept {
    return slice<std::int32_t>(full_tiles, full_offsets, key_tile);
  }
  [[nodiscard]] std::span<const std::int32_t> partial(std::int64_t key_tile) const noexcept {
    return slice<std::int32_t>(partial_tiles, partial_offsets, key_tile);
  }
  [[nodiscard]] std::span<const std::int64_t> places(std::int64_t key_tile) const noexcept {
    return slice<std::int64_t>(partial_places, partial_offsets, key_tile);
  }

 private:
  template <class T>
  static std::span<const T> slice(std::span<const T> list, std::span<const std::int64_t> offsets,
                                  std::int64_t key_tile) noexcept {
    const auto begin = static_cast<std::size_t>(offsets[static_cast<std::size_t>(key_tile)]);
    const auto end = static_cast<std::size_t>(offsets[static_cast<std::size_t>(key_tile) + 1]);
    return list.subspan(begin, end - begin);
  }
};

/// A mask prepared for tiled attention: for every row of tiles the full tiles, which a kernel
/// runs without reading any mask, and the partial tiles with one bit an element. Empty tiles are
/// not stored. One mask for all batches and heads, or one per batch and/or head.
///
/// An owned value that remembers nothing of the input's address: edit the input and build again.
///
/// Bits of a partial tile, row after row, block_n / 8 bytes a row:
///
///     byte    0           1           ...
///     row 0   keys 0..7   keys 8..15  ...   bit b of byte k is key 8·k + b of the tile
///     row 1   ...
///
/// Bits beyond n_q or n_k are 0.
class BlockMask {
 public:
  /// Builds from CSR in O(n_q + nnz) time and O(partial tiles) memory, never n_q × n_k. Throws
  /// Error{invalid_mask} for a malformed pattern, Error{invalid_argument} for a tile shape
  /// that is not allowed.
  [[nodiscard]] static BlockMask from_csr(const CsrPattern& pattern, TileShape tile,
                                          int threads = 1);

  /// Builds from a dense matrix. Throws Error{invalid_argument} for a null pointer, a stride
  /// shorter than a row or a tile shape that is not allowed.
  [[nodiscard]] static BlockMask from_dense(const DensePattern& pattern, TileShape tile,
                                            int threads = 1);

  /// Joins single masks of one shape and tile into a per-batch / per-head mask; mask (b, h) is
  /// `masks[b * heads + h]`. Throws Error{invalid_argument} for a wrong count or unlike shapes.
  [[nodiscard]] static BlockMask stack(std::span<const BlockMask> masks, std::int32_t batch,
                                       std::int32_t heads);

  [[nodiscard]] std::int32_t n_q() const noexcept { return n_q_; }
  [[nodiscard]] std::int32_t n_k() const noexcept { return n_k_; }
  [[nodiscard]] TileShape tile() const noexcept { return tile_; }
  [[nodiscard]] std::int32_t row_tiles() const noexcept;
  [[nodiscard]] std::int32_t key_tiles() const noexcept;
  [[nodiscard]] std::int64_t bits_per_tile() const noexcept {
    return std::int64_t{tile_.block_m} * tile_.block_n;
  }

  /// 1, or the batch (head) count that the tensors must have.
  [[nodiscard]] std::int32_t batch() const noexcept { return batch_; }
  [[nodiscard]] std::int32_t heads() const noexcept { return heads_; }

  /// The lists that batch b and query head h use; a shared mask answers for every b and h.
  [[nodiscard]] TileLists lists(std::int64_t b = 0, std::int64_t h = 0) const noexcept;

  /// The same lists by key tile, made anew by each call in O(tiles + row_tiles + key_tiles) time:
  /// 4 bytes a full and 12 bytes a partial tile, no bits. A plan makes them once.
  [[nodiscard]] TransposedLists transposed(std::int64_t b = 0, std::int64_t h = 0) const;

  /// Sums over all masks held.
  [[nodiscard]] std::int64_t full_count() const noexcept;
  [[nodiscard]] std::int64_t partial_count() const noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept;

 private:
  BlockMask() = default;

  template <class Pattern>
  void build(const Pattern& pattern, int threads);

  struct Single {
    std::vector<std::int64_t> full_offsets;
    std::vector<std::int32_t> full_tiles;
    std::vector<std::int64_t> partial_offsets;
    std::vector<std::int32_t> partial_tiles;
    std::vector<std::uint8_t> partial_bits;
  };

  std::int32_t n_q_ = 0;
  std::int32_t n_k_ = 0;
  TileShape tile_;
  std::int32_t batch_ = 1;
  std::int32_t heads_ = 1;
  std::vector<Single> masks_;
};

}  // namespace attn

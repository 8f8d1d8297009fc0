// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "attn/block_mask.hpp"

namespace attn {

// Two other forms of a mask, for sparsity that no order packs into tiles of neighbouring keys. Both
// are exact; a backend that runs them says so in its info.

/// Tiles that hold at least `theta` allowed pairs, and the pairs left over one by one. The two
/// parts of a query's softmax are merged through their log-sum-exps.
///
/// One mask for all batches and heads, or one per batch and/or head, as in BlockMask.
class SplitMask {
 public:
  /// O(n_q + nnz) time; memory is that of the tiles and 4 bytes a pair left over. Throws
  /// Error{invalid_mask} for a malformed pattern, Error{invalid_argument} for theta below 1 or a
  /// tile shape that is not allowed.
  [[nodiscard]] static SplitMask from_csr(const CsrPattern& pattern, TileShape tile,
                                          std::int64_t theta, int threads = 1);

  /// As BlockMask::stack.
  [[nodiscard]] static SplitMask stack(std::span<const SplitMask> masks, std::int32_t batch,
                                       std::int32_t heads);

  /// The pairs in dense tiles; shape, batch and heads are the mask's.
  [[nodiscard]] const BlockMask& tiles() const noexcept { return tiles_; }

  /// The other pairs of batch b and query head h.
  [[nodiscard]] CsrPattern residual(std::int64_t b = 0, std::int64_t h = 0) const noexcept;

  /// Pairs left over, summed over all masks held.
  [[nodiscard]] std::int64_t residual_count() const noexcept;

 private:
  struct Residual {
    std::vector<std::int64_t> offsets;
    std::vector<std::int32_t> cols;
  };

  SplitMask(BlockMask tiles, std::vector<Residual> residuals)
      : tiles_(std::move(tiles)), residuals_(std::move(residuals)) {}

  BlockMask tiles_;
  std::vector<Residual> residuals_;
};

/// The keys that a row of tiles allows at all, put side by side: tiles over gathered keys instead
/// of neighbouring ones. A row tile of d distinct keys visits ⌈d / block_n⌉ tiles.
class GatheredMask {
 public:
  /// O(n_q + nnz log d) time, d the most pairs of a row of tiles. Throws as SplitMask::from_csr.
  [[nodiscard]] static GatheredMask from_csr(const CsrPattern& pattern, TileShape tile,
                                             int threads = 1);

  /// As BlockMask::stack.
  [[nodiscard]] static GatheredMask stack(std::span<const GatheredMask> masks, std::int32_t batch,
                                          std::int32_t heads);

  /// The mask over places: "key" j of row tile t is its j-th gathered key. Shape, batch and heads
  /// are the mask's; the tiles beyond a row tile's last key are empty.
  [[nodiscard]] const BlockMask& tiles() const noexcept { return tiles_; }

  /// The gathered keys of batch b, query head h and a row tile, ascending.
  [[nodiscard]] std::span<const std::int32_t> keys(std::int64_t b, std::int64_t h,
                                                   std::int64_t row_tile) const noexcept {
    const Gathered& gathered = gathered_[index(b, h)];
    const auto begin =
        static_cast<std::size_t>(gathered.offsets[static_cast<std::size_t>(row_tile)]);
    const auto end =
        static_cast<std::size_t>(gathered.offsets[static_cast<std::size_t>(row_tile) + 1]);
    return std::span(gathered.keys).subspan(begin, end - begin);
  }

 private:
  struct Gathered {
    std::vector<std::int64_t> offsets;  ///< row_tiles + 1
    std::vector<std::int32_t> keys;
  };

  GatheredMask(BlockMask tiles, std::vector<Gathered> gathered)
      : tiles_(std::move(tiles)), gathered_(std::move(gathered)) {}

  [[nodiscard]] std::size_t index(std::int64_t b, std::int64_t h) const noexcept {
    return static_cast<std::size_t>((tiles_.batch() == 1 ? 0 : b) * tiles_.heads() +
                                    (tiles_.heads() == 1 ? 0 : h));
  }

  BlockMask tiles_;
  std::vector<Gathered> gathered_;
};

}  // namespace attn

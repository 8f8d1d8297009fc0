// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "attn/tensor.hpp"
#include "cpu/tile_bits.hpp"
#include "element.hpp"
#include "order.hpp"

/// What the `cpu` backend needs once for every instruction set. All shapes of packed data count
/// floats; "a vector" is `lanes` of them.
namespace attn::cpu {

/// The rows of one head of a tensor, in the mask's order. Borrows the tensor's memory and the
/// order.
class HeadRows {
 public:
  HeadRows(const TensorView& tensor, std::int64_t b, std::int64_t h, const Order& order) noexcept
      : head_(static_cast<std::byte*>(tensor.data) + row_offset(tensor, b, h, 0) * item(tensor)),
        row_stride_(tensor.strides[2] * item(tensor)),
        stride_(tensor.strides[3]),
        dtype_(tensor.dtype),
        order_(order) {}

  [[nodiscard]] std::byte* row(std::int32_t i) const noexcept {
    return head_ + order_[i] * row_stride_;
  }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }

  /// Elements from one element of a row to the next.
  [[nodiscard]] std::int64_t stride() const noexcept { return stride_; }

 private:
  static std::int64_t item(const TensorView& tensor) noexcept {
    return static_cast<std::int64_t>(size_of(tensor.dtype));
  }

  std::byte* head_;
  std::int64_t row_stride_;
  std::int64_t stride_;
  DType dtype_;
  const Order& order_;
};

/// The sizes of one problem, and what packing makes of them.
///
///     keys     [key vector][d][lane]        a key tile, transposed: the second factor of Q Kᵀ
///     values   [width vector][key][lane]    a key tile: the second factor of P V
///     queries  [row group][d][row]          a row tile, scaled: the first factor of Q Kᵀ
///
/// A product walks each of them with one pointer, from front to back.
struct Layout {
  std::int32_t block_m, block_n;
  std::int32_t head_dim;
  std::int32_t lanes;

  [[nodiscard]] std::size_t key_vectors(std::int32_t keys) const noexcept {
    return static_cast<std::size_t>((keys + lanes - 1) / lanes);
  }
  [[nodiscard]] std::size_t width_vectors() const noexcept { return key_vectors(head_dim); }
  [[nodiscard]] std::size_t padded_width() const noexcept {
    return width_vectors() * static_cast<std::size_t>(lanes);
  }
  /// From row to row of scores: the widest tile, and one vector more so that the rows do not all
  /// fall on the same cache sets.
  [[nodiscard]] std::size_t score_stride() const noexcept {
    return static_cast<std::size_t>(256 + lanes);
  }
  [[nodiscard]] std::size_t packed_keys() const noexcept {
    return key_vectors(block_n) * static_cast<std::size_t>(lanes * head_dim);
  }
  [[nodiscard]] std::size_t packed_values() const noexcept {
    return padded_width() * static_cast<std::size_t>(block_n);
  }
};

/// A packed key tile and who may see it.
struct KeyTile {
  const float* keys;
  const float* values;
  std::int32_t cols;         ///< keys inside the mask
  const std::uint8_t* bits;  ///< as in BlockMask; null when every query sees every key
};

/// A row tile on its way through the key tiles. Scores are in units of log 2.
struct RowTile {
  std::int32_t rows;  ///< queries inside the mask
  float* queries;     ///< [block_m / rows of a group][head_dim][rows of a group]
  float* output;      ///< [block_m][padded_width], not yet divided by the sum
  float* max;         ///< [block_m], the largest score so far
  float* sum;         ///< [block_m][lanes], partial sums of exp2(score − max)
  float* row;         ///< [padded_width], scratch
};

/// Q, dO and O of one query head.
struct GradientHead {
  HeadRows q, d_o, o;
};

/// A key tile of the backward pass: packed K and V, and the gradients so far.
struct GradientKeys {
  const float* keys;      ///< K as [key vector][d][lane], for Q Kᵀ
  const float* key_rows;  ///< K as [width vector][key][lane], for dS K
  const float* values;    ///< V as [key vector][d][lane], for dO Vᵀ
  float* dk;              ///< [block_n][padded_width], not yet scaled
  float* dv;              ///< [block_n][padded_width]
  std::int32_t cols;
  const std::uint8_t* bits;
};

/// A row tile of the backward pass. Scores are in units of log 2.
struct GradientRows {
  std::int32_t rows;
  float* queries;     ///< Q, scaled, as [row group][d][row], for Q Kᵀ
  float* query_rows;  ///< Q as [width vector][row][lane], for dSᵀ Q
  float* d_o;         ///< dO as [row group][d][row], for dO Vᵀ
  float* d_o_rows;    ///< dO as [width vector][row][lane], for Pᵀ dO
  float* lse;         ///< [block_m]
  float* delta;       ///< [block_m], Σ dO ∘ O
  float* p;           ///< [block_m][score_stride], P of the key tile at hand
  float* ds;          ///< [block_m][score_stride], dS of the key tile at hand
  float* dq;          ///< [block_m][padded_width], not yet scaled
  float* row;         ///< [2][padded_width], scratch
};

struct Kernels {
  const char* target;  ///< the instruction set's name
  std::int32_t lanes;

  void (*pack_keys)(const Layout& layout, const HeadRows& k, std::int32_t first, std::int32_t count,
                    float* row, float* packed);

  /// Rows that hold a NaN or an infinity are packed as zeros, because 0 · NaN is NaN for queries
  /// that do not allow them, and marked: bit k of `unsound` is set for row first + k.
  void (*pack_values)(const Layout& layout, const HeadRows& v, std::int32_t first,
                      std::int32_t count, float* row, float* packed, TileBits& unsound);

  /// Packs the queries [first, first + tile.rows), multiplied by `factor`, and clears the rest.
  void (*begin)(const Layout& layout, const HeadRows& q, std::int32_t first, float factor,
                RowTile& tile);

  /// Adds one key tile to a row tile.
  void (*visit)(const Layout& layout, const KeyTile& keys, RowTile& tile);

  /// Writes row r of the output to `out` and the row's LSE to `lse`, unless it holds anything that
  /// a sound row with an allowed key cannot: then writes nothing and returns false.
  bool (*finish)(const Layout& layout, const RowTile& tile, std::int32_t r, const HeadRows& o,
                 std::int32_t i, float* lse);

  /// Packs the rows [first, first + tile.rows), Q also multiplied by `factor`, and clears dQ.
  /// `lse` is the caller's. Rows of Q and dO that are not finite are zeros where they are right
  /// factors, and marked in `unsound`.
  void (*begin_gradients)(const Layout& layout, const GradientHead& head, std::int32_t first,
                          float factor, GradientRows& tile, TileBits& unsound);

  /// P and dS of one tile; adds to dQ.
  void (*add_query_gradients)(const Layout& layout, const GradientKeys& keys, GradientRows& tile);

  /// Adds to dK and dV what the P and dS that stand in `tile` give.
  void (*add_key_gradients)(const Layout& layout, const GradientKeys& keys,
                            const GradientRows& tile);

  /// Writes factor · sums as row i of `to`, unless it is not finite: then writes nothing and
  /// returns false.
  bool (*finish_gradient)(const Layout& layout, const float* sums, float factor, const HeadRows& to,
                          std::int32_t i, float* row);
};

/// The kernels for the best instruction set that this processor has.
[[nodiscard]] const Kernels& kernels();

}  // namespace attn::cpu

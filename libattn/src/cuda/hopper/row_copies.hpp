// SPDX-License-Identifier: Apache-2.0
//
// Rows brought into an order by copies of them, for loads that find no box for them: TMA has no row
// gather on this architecture, and boxes of one row took 28 ns each (H100).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/hopper/pair_range.hpp"
#include "cuda/hopper/params.hpp"

namespace attn::hopper {

/// Rows of some heads of a [batch, heads, rows, head_dim] tensor of 16-bit numbers, copied densely
/// one behind the other.
struct RowCopy {
  const void* source;
  Strides strides;
  const std::int32_t* rows;  ///< which, or kNoRow for zeros
  void* destination;
  PairRange pairs;
  std::int32_t n_rows;
};

/// Copies of several tensors of one head_dim. Their pieces, of kPieceRows rows of one head, are
/// drawn from a counter, by the kernel in front and then by one of their own.
struct RowCopies {
  static constexpr int kMost = 4;
  static constexpr int kPieceRows = 64;

  RowCopy tensors[kMost];
  std::int32_t head_dim;
  bool beside = false;             ///< may run beside the kernel in front, whose end it waits for
  std::uint32_t* drawn = nullptr;  ///< pieces; null: all are there for the kernel of its own
  std::uint32_t* clear = nullptr;  ///< a counter that the kernel sets to zero, or null
};

/// Copies what has not been drawn.
[[nodiscard]] cudaError_t copy_rows(const RowCopies& copies, int multiprocessors,
                                    cudaStream_t stream);

}  // namespace attn::hopper

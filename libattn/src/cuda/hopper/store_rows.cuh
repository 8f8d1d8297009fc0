// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

/// The accumulators of a warp, 16 rows x kDim, rounded and written so that rows leave whole, as
/// data that the L2 cache may drop first. They go by way of the 16 rows at `staging` in a swizzled
/// tile of kTileRows rows. `destination(r)` is the place of row r, or null for one that is not
/// written. The warp must be through with its staging rows, and a proxy fence must stand between
/// this and the next TMA load there.
template <class T, int kDim, int kTileRows, class Destination>
__device__ __forceinline__ void store_rows(const float (&values)[kDim / 2], std::uint16_t* staging,
                                           int lane, Destination destination) {
  const int in_matrix = lane % 8;
  const int matrix_row = in_matrix + lane / 8 % 2 * 8;
  const std::uint32_t base = shared_address(staging);
#pragma unroll
  for (int j = 0; j < kDim / 16; ++j) {
    const int chunk = (2 * j + lane / 16) % 8;
    ptx::store_matrix_x4(
        base + j / 4 * kTileRows * 128 + matrix_row * 128 + ((chunk ^ in_matrix) << 4),
        ptx::pack<T>(values[8 * j], values[8 * j + 1]),
        ptx::pack<T>(values[8 * j + 2], values[8 * j + 3]),
        ptx::pack<T>(values[8 * j + 4], values[8 * j + 5]),
        ptx::pack<T>(values[8 * j + 6], values[8 * j + 7]));
  }
  __syncwarp();
  constexpr int kChunks = kDim / 8;  // of 16 bytes in a row
  constexpr int kRowsAtOnce = 32 / kChunks;
  const int chunk = lane % kChunks;
#pragma unroll
  for (int pass = 0; pass < 16 / kRowsAtOnce; ++pass) {
    const int r = pass * kRowsAtOnce + lane / kChunks;
    const uint4 value = *reinterpret_cast<const uint4*>(
        staging + (chunk / 8 * kTileRows + r) * kPanel + ((chunk % 8) ^ (r % 8)) * 8);
    if (std::uint16_t* const row = destination(r); row != nullptr) {
      __stcs(reinterpret_cast<uint4*>(row + chunk * 8), value);
    }
  }
}

}  // namespace attn::hopper

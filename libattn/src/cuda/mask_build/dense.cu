// SPDX-License-Identifier: Apache-2.0
//
// A dense matrix to a grid of strips: a CTA reads 64 rows of 512 keys, each warp whole 512-byte
// pieces of rows, eight of them in flight.
#include "cuda/mask_build/strip_grid.cuh"

namespace attn::mask_build {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kKeys = 512;  ///< of a CTA
constexpr int kKeysPerLane = kKeys / 32;
constexpr int kRowsPerWarp = kQuadrant / kWarps;

/// One bit for each of 4 bytes: is it not zero?
__device__ __forceinline__ std::uint32_t nonzero_bytes(std::uint32_t x) {
  const std::uint32_t high = (((x & 0x7F7F7F7FU) + 0x7F7F7F7FU) | x) & 0x80808080U;
  return ((high >> 7) * 0x01020408U) >> 24 & 0xFU;
}

/// Where 16 keys of a row begin, and how many of them are inside the mask.
struct Piece {
  const std::uint8_t* row;
  std::int32_t key;
  std::int32_t inside;
};

/// Bytes in one load when the piece is whole and the matrix aligned, one by one otherwise.
template <bool kAligned>
__device__ __forceinline__ uint4 load_bytes(const Piece& piece) {
  if (kAligned && piece.inside == kKeysPerLane) {
    return __ldcs(reinterpret_cast<const uint4*>(piece.row + piece.key));
  }
  std::uint32_t words[4] = {};
  for (int i = 0; i < piece.inside; ++i) {
    words[i / 4] |= std::uint32_t{piece.row[piece.key + i]} << (8 * (i % 4));
  }
  return {words[0], words[1], words[2], words[3]};
}

__device__ __forceinline__ std::uint32_t load_bits(const Piece& piece) {
  std::uint32_t bits = 0;
  if (piece.inside > 0) bits = piece.row[piece.key / 8];
  if (piece.inside > 8) bits |= std::uint32_t{piece.row[piece.key / 8 + 1]} << 8;
  return bits & ((1U << piece.inside) - 1);
}

template <bool kBits, bool kAligned>
__global__ void __launch_bounds__(kThreads)
    fill_dense_kernel(const StripGrid grid, const std::int32_t mask, const DenseSource source,
                      std::uint32_t* const unpacked) {
  // A ninth column keeps the rows that a warp reads together in different banks.
  __shared__ std::uint64_t rows[kQuadrant][kKeys / 64 + 1];
  __shared__ std::uint32_t states[kKeys / kQuadrant];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto r = static_cast<std::int32_t>(blockIdx.y);

  const auto piece_of = [&](int k) {
    const std::int32_t i = r * kQuadrant + warp + kWarps * k;
    const std::int32_t key = static_cast<std::int32_t>(blockIdx.x) * kKeys + lane * kKeysPerLane;
    const std::int32_t inside = i < grid.n_q ? min(kKeysPerLane, max(grid.n_k - key, 0)) : 0;
    return Piece{source.data + i * source.row_stride, key, inside};
  };
  const auto keep = [&](int k, std::uint32_t bits) {
    reinterpret_cast<std::uint16_t*>(rows[warp + kWarps * k])[lane] =
        static_cast<std::uint16_t>(bits);
  };
  if constexpr (kBits) {
#pragma unroll
    for (int k = 0; k < kRowsPerWarp; ++k) keep(k, load_bits(piece_of(k)));
  } else {
    uint4 bytes[kRowsPerWarp];
#pragma unroll
    for (int k = 0; k < kRowsPerWarp; ++k) bytes[k] = load_bytes<kAligned>(piece_of(k));
#pragma unroll
    for (int k = 0; k < kRowsPerWarp; ++k) {
      keep(k, nonzero_bytes(bytes[k].x) | nonzero_bytes(bytes[k].y) << 4 |
                  nonzero_bytes(bytes[k].z) << 8 | nonzero_bytes(bytes[k].w) << 12);
    }
  }
  __syncthreads();

  static_assert(kWarps == kKeys / kQuadrant, "a warp counts one quadrant");
  const int count = __reduce_add_sync(
      kAllLanes,
      static_cast<unsigned>(__popcll(rows[lane][warp]) + __popcll(rows[lane + 32][warp])));
  if (lane == 0) {
    const std::int32_t block = static_cast<std::int32_t>(blockIdx.x) * (kKeys / kQuadrant) + warp;
    states[warp] = state_of(count, quadrant_height(grid, r), quadrant_width(grid, block));
  }
  __syncthreads();

  constexpr int kStrips = kKeys / kStripKeys;
  const std::int32_t first_column = static_cast<std::int32_t>(blockIdx.x) * kStrips;
  if (threadIdx.x < kStrips && first_column + threadIdx.x < grid.key_tiles) {
    note_strip(grid, grid.column(mask, first_column + static_cast<std::int32_t>(threadIdx.x)), r,
               states[2 * threadIdx.x] | states[2 * threadIdx.x + 1] << 2);
  }
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int row = thread / 32 * 16 + thread % 32 / 4;
  for (int s = static_cast<int>(threadIdx.x) / 128; s < kStrips; s += kThreads / 128) {
    if (!has_bits(states[2 * s] | states[2 * s + 1])) continue;
    const auto word = [&](int block) {
      return lane_bits(rows[row][block], thread % 4) | lane_bits(rows[row + 8][block], thread % 4)
                                                           << 2;
    };
    const std::int64_t strip = std::int64_t{first_column + s} * grid.row_blocks + r;
    reinterpret_cast<uint2*>(unpacked + strip * kStripWords)[thread] = {word(2 * s),
                                                                        word(2 * s + 1)};
  }
}

}  // namespace

cudaError_t fill_dense(const StripGrid& grid, std::int32_t mask, const DenseSource& source,
                       std::uint32_t* unpacked, cudaStream_t stream) {
  const dim3 ctas(static_cast<unsigned>((grid.n_k + kKeys - 1) / kKeys),
                  static_cast<unsigned>(grid.row_blocks));
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(source.data) % 16 == 0 && source.row_stride % 16 == 0;
  const auto kernel = source.bits ? fill_dense_kernel<true, false>
                      : aligned   ? fill_dense_kernel<false, true>
                                  : fill_dense_kernel<false, false>;
  kernel<<<ctas, kThreads, 0, stream>>>(grid, mask, source, unpacked);
  return cudaGetLastError();
}

}  // namespace attn::mask_build

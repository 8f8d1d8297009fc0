// SPDX-License-Identifier: Apache-2.0
//
// A CSR pattern to a grid of strips, and its bits to the strips that are stored: a CTA takes the 64
// rows of a query block, each warp whole rows, 32 columns at a time. Columns that stand in one key
// block follow each other in a row, so that lanes first join what they have and then add it once.
#include <algorithm>

#include "cuda/mask_build/strip_grid.cuh"

namespace attn::mask_build {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;
constexpr std::int32_t kWindow = 8192;  ///< key tiles that are counted or looked up at a time

/// Rows of a query block, one warp each; body(row, first, last) gets its range of `cols`.
template <class Body>
__device__ void for_rows(const StripGrid& grid, const CsrSource& source, std::int32_t r,
                         Body body) {
  for (int i = static_cast<int>(threadIdx.x) / 32; i < quadrant_height(grid, r); i += kWarps) {
    const std::int32_t row = r * kQuadrant + i;
    const std::int64_t first = source.offsets[row];
    const std::int64_t last = source.offsets[row + 1];
    body(row, max(first, std::int64_t{0}), min(last, source.nnz));
  }
}

/// Lanes whose column begins a run of one key block, among `valid` lanes.
__device__ __forceinline__ unsigned run_heads(std::int32_t block, int lane, unsigned valid) {
  const std::int32_t before = __shfl_up_sync(kAllLanes, block, 1);
  return __ballot_sync(kAllLanes, lane == 0 || block != before) & valid;
}

__device__ __forceinline__ void report(const StripGrid& grid, std::int32_t row) {
  atomicMax(grid.bad_rows, kNoBadRow - row);
}

__global__ void __launch_bounds__(kThreads)
    fill_csr_kernel(const StripGrid grid, const std::int32_t mask, const CsrSource source) {
  extern __shared__ std::int32_t counts[];  // of key blocks
  const auto r = static_cast<std::int32_t>(blockIdx.x);
  const int lane = static_cast<int>(threadIdx.x) % 32;

  if (threadIdx.x == 0) {
    const std::int32_t first = r * kQuadrant;
    const std::int32_t height = quadrant_height(grid, r);
    if (r == 0 && source.offsets[0] != 0) report(grid, 0);
    if (first + height == grid.n_q && source.offsets[grid.n_q] != source.nnz) {
      report(grid, grid.n_q - 1);
    }
    for (std::int32_t i = first; i < first + height; ++i) {
      if (source.offsets[i] > source.offsets[i + 1]) report(grid, i);
    }
  }
  for (std::int32_t window = 0; window < grid.key_tiles; window += kWindow) {
    const std::int32_t tiles = min(kWindow, grid.key_tiles - window);
    for (std::int32_t b = static_cast<std::int32_t>(threadIdx.x); b < 2 * tiles; b += kThreads) {
      counts[b] = 0;
    }
    __syncthreads();
    for_rows(grid, source, r, [&](std::int32_t row, std::int64_t first, std::int64_t last) {
      std::int32_t carried = -1;  // the column before
      for (std::int64_t base = first; base < last; base += 32) {
        const unsigned valid = last - base >= 32 ? kAllLanes : (1U << (last - base)) - 1;
        const bool mine = base + lane < last;
        const std::int32_t col = mine ? source.cols[base + lane] : kNoBadRow;
        std::int32_t before = __shfl_up_sync(kAllLanes, col, 1);
        if (lane == 0) before = carried;
        carried = __shfl_sync(kAllLanes, col, 31);
        const bool good = !mine || (col > before && col < grid.n_k && col >= 0);
        if (!good) report(grid, row);
        const std::int32_t block = col / kQuadrant - 2 * window;
        const unsigned heads = run_heads(block, lane, valid);
        if ((heads >> lane & 1U) != 0 && good && block >= 0 && block < 2 * tiles) {
          const unsigned later = lane == 31 ? 0 : heads >> (lane + 1);
          const int next = later == 0 ? __popc(valid) : lane + __ffs(static_cast<int>(later));
          atomicAdd(counts + block, next - lane);
        }
      }
    });
    __syncthreads();
    for (std::int32_t c = static_cast<std::int32_t>(threadIdx.x); c < tiles; c += kThreads) {
      std::uint32_t states = 0;
      for (int b = 0; b < 2; ++b) {
        const std::int32_t block = 2 * (window + c) + b;
        states |= state_of(counts[2 * c + b], quadrant_height(grid, r), quadrant_width(grid, block))
                  << (2 * b);
      }
      note_strip(grid, grid.column(mask, window + c), r, states);
    }
    __syncthreads();
  }
}

/// The OR of `value` over the lanes of a run up to and with this one.
__device__ __forceinline__ std::uint64_t join_run(std::uint64_t value, unsigned heads, int lane) {
  const int head = 31 - __clz(static_cast<int>(heads & (kAllLanes >> (31 - lane))));
  for (int step = 1; step < 32; step *= 2) {
    const std::uint64_t before = __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(step));
    if (lane - step >= head) value |= before;
  }
  return value;
}

__global__ void __launch_bounds__(kThreads)
    pack_csr_kernel(const StripGrid grid, const std::int32_t mask, const CsrSource source,
                    const std::uint32_t* const ranks, const StoredBits bits) {
  extern __shared__ std::uint32_t places[];  // of strips, or kNoBits
  const auto r = static_cast<std::int32_t>(blockIdx.x);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (std::int32_t window = 0; window < grid.key_tiles; window += kWindow) {
    const std::int32_t tiles = min(kWindow, grid.key_tiles - window);
    for (std::int32_t c = static_cast<std::int32_t>(threadIdx.x); c < tiles; c += kThreads) {
      const std::int64_t column = grid.column(mask, window + c);
      std::uint32_t place = kNoBits;
      if (has_bits(grid.states[column * grid.row_stride + r])) {
        place = rank_of(grid, ranks, column, r);
        if (place >= bits.capacity) place = kNoBits;
      }
      places[c] = place;
    }
    __syncthreads();
    for_rows(grid, source, r, [&](std::int32_t row, std::int64_t first, std::int64_t last) {
      const int thread = row % kQuadrant / 16 * 32 + row % 8 * 4;
      const int shift = row % 16 / 8 * 2;
      for (std::int64_t base = first; base < last; base += 32) {
        const unsigned valid = last - base >= 32 ? kAllLanes : (1U << (last - base)) - 1;
        const std::int32_t col = base + lane < last ? source.cols[base + lane] : kNoBadRow;
        const std::int32_t block = col / kQuadrant - 2 * window;
        const unsigned heads = run_heads(block, lane, valid);
        const std::uint64_t row_bits =
            join_run(std::uint64_t{1} << (col & (kQuadrant - 1)), heads | 1U, lane);
        const bool last_of_run =
            (valid >> lane & 1U) != 0 && (lane == 31 || ((heads | ~valid) >> (lane + 1) & 1U) != 0);
        if (!last_of_run || block < 0 || block >= 2 * tiles) continue;
        const std::uint32_t place = places[block / 2];
        if (place == kNoBits) continue;
        std::uint32_t* const words =
            bits.words + std::int64_t{place} * kStripWords + thread * 2 + block % 2;
        for (int q = 0; q < 4; ++q) {
          const std::uint32_t word = lane_bits(row_bits, q) << shift;
          if (word != 0) atomicOr(words + 2 * q, word);
        }
      }
    });
    __syncthreads();
  }
}

}  // namespace

cudaError_t fill_csr(const StripGrid& grid, std::int32_t mask, const CsrSource& source,
                     cudaStream_t stream) {
  const std::size_t shared = static_cast<std::size_t>(std::min(kWindow, grid.key_tiles)) * 8;
  if (const cudaError_t error =
          cudaFuncSetAttribute(fill_csr_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(kWindow * 8));
      error != cudaSuccess) {
    return error;
  }
  fill_csr_kernel<<<static_cast<unsigned>(grid.row_blocks), kThreads, shared, stream>>>(grid, mask,
                                                                                        source);
  return cudaGetLastError();
}

cudaError_t pack_csr(const StripGrid& grid, std::int32_t mask, const CsrSource& source,
                     const std::uint32_t* ranks, const StoredBits& bits, cudaStream_t stream) {
  const std::size_t shared = static_cast<std::size_t>(std::min(kWindow, grid.key_tiles)) * 4;
  pack_csr_kernel<<<static_cast<unsigned>(grid.row_blocks), kThreads, shared, stream>>>(
      grid, mask, source, ranks, bits);
  return cudaGetLastError();
}

}  // namespace attn::mask_build

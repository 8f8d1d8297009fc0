// SPDX-License-Identifier: Apache-2.0
//
// A grid of strips to the lists that the kernels walk. Every CTA finds the place of its own list by
// adding up the counts before it: there are a few hundred, and no launch in between is needed.
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#include "cuda/mask_build/strip_grid.cuh"

namespace attn::mask_build {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

using Reduce = cub::BlockReduce<int, kThreads>;
using Scan = cub::BlockScan<std::uint32_t, kThreads>;

/// The sum of counts[0 .. end), the same in all threads.
__device__ int sum_before(const std::int32_t* counts, std::int64_t end) {
  __shared__ Reduce::TempStorage storage;
  __shared__ int sum;
  int mine = 0;
  for (std::int64_t i = threadIdx.x; i < end; i += kThreads) mine += counts[i];
  const int total = Reduce(storage).Sum(mine);
  if (threadIdx.x == 0) sum = total;
  __syncthreads();
  const int result = sum;
  __syncthreads();
  return result;
}

// --- by column -----------------------------------------------------------------------------------

__device__ void index_column(const StripGrid& grid, const ColumnLists& lists, std::int64_t column) {
  __shared__ Scan::TempStorage storage;
  std::int64_t visited = sum_before(grid.visited, column);
  std::uint32_t stored = static_cast<std::uint32_t>(sum_before(grid.stored, column));
  const std::uint8_t* const states = grid.states + column * grid.row_stride;
  for (std::int32_t base = 0; base < grid.row_blocks; base += kThreads) {
    const std::int32_t r = base + static_cast<std::int32_t>(threadIdx.x);
    const std::uint32_t state = r < grid.row_blocks ? states[r] : 0;
    // Two counts in one scan: 256 of each fit in 16 bits.
    std::uint32_t before = (state != 0 ? 1U : 0U) | (has_bits(state) ? 1U << 16 : 0U);
    std::uint32_t total = 0;
    Scan(storage).ExclusiveSum(before, before, total);
    const std::uint32_t place = stored + (before >> 16);
    if (r % kRankStep == 0 && r < grid.row_stride) {
      lists.ranks[column * (grid.row_stride / kRankStep) + r / kRankStep] = place;
    }
    const std::int64_t at = visited + (before & 0xFFFFU);
    if (state != 0 && at < lists.capacity) {
      lists.strips[at] = {static_cast<std::uint32_t>(r) | state << kKeyTileBits,
                          has_bits(state) ? place : kNoBits};
    }
    visited += total & 0xFFFFU;
    stored += total >> 16;
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  if (column == 0) lists.offsets[0] = 0;
  lists.offsets[column + 1] = static_cast<std::int32_t>(visited);
  if (column + 1 == grid.column(grid.masks, 0)) {
    lists.totals[0] = *grid.bad_rows;
    lists.totals[1] = static_cast<std::int32_t>(visited);
    lists.totals[2] = static_cast<std::int32_t>(stored);
  }
}

// --- by row of tiles -----------------------------------------------------------------------------

/// The states of a tile whose quadrants are all full.
__device__ __forceinline__ std::uint32_t full_states(int groups) {
  return (0x55555555U & ((1U << (4 * groups)) - 1));
}

/// One warp a row of tiles.
__device__ void count_row(const StripGrid& grid, const RowLists& lists, std::int32_t index) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int32_t mask = index / lists.row_tiles;
  const std::int32_t first_block = index % lists.row_tiles * lists.groups;
  unsigned counted = 0;
  unsigned masked = 0;
  unsigned full = 0;
  std::uint32_t seen = 0;
  for (std::int32_t c = lane; c < grid.key_tiles; c += 32) {
    const std::uint32_t states = tile_states(grid, grid.column(mask, c), first_block, lists.groups);
    counted += states != 0 ? 1 : 0;
    masked += has_bits(states) ? 1 : 0;
    full += states == full_states(lists.groups) ? 1 : 0;
    seen |= states;
  }
  counted = __reduce_add_sync(kAllLanes, counted);
  masked = __reduce_add_sync(kAllLanes, masked);
  full = __reduce_add_sync(kAllLanes, full);
  seen = __reduce_or_sync(kAllLanes, seen);
  if (lane != 0) return;
  lists.counts[index] = static_cast<std::int32_t>(counted);
  lists.masked[index] = static_cast<std::int32_t>(masked);
  lists.full[index] = static_cast<std::int32_t>(full);
  std::int32_t empty = 0;
  for (int g = 0; g < lists.groups && first_block + g < grid.row_blocks; ++g) {
    empty += (seen >> (4 * g) & 15U) == 0 ? 1 : 0;
  }
  lists.empty[index] = empty;
}

__global__ void __launch_bounds__(kThreads)
    index_columns_kernel(const StripGrid grid, const __grid_constant__ Lists lists) {
  std::int64_t block = blockIdx.x;
  if (block < grid.column(grid.masks, 0)) {
    index_column(grid, lists.columns, block);
    return;
  }
  block -= grid.column(grid.masks, 0);
  for (int h = 0; h < lists.heights; ++h) {
    const RowLists& rows = lists.rows[h];
    const std::int32_t count = grid.masks * rows.row_tiles;
    const std::int32_t ctas = (count + kWarps - 1) / kWarps;
    if (block < ctas) {
      const std::int32_t index =
          static_cast<std::int32_t>(block) * kWarps + static_cast<std::int32_t>(threadIdx.x) / 32;
      if (index < count) count_row(grid, rows, index);
      return;
    }
    block -= ctas;
  }
}

/// What a row of tiles must know of the others.
struct Standing {
  int tiles_before, empty_before;
  int rank;  ///< among rows that visit anything, the longest first, equal ones in their order
};

__device__ Standing standing_of(const RowLists& lists, std::int32_t index, std::int32_t count) {
  __shared__ Reduce::TempStorage storage;
  __shared__ Standing result;
  Standing mine{};
  const std::int32_t own = lists.counts[index];
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < count; i += kThreads) {
    const std::int32_t other = lists.counts[i];
    if (i < index) {
      mine.tiles_before += other;
      mine.empty_before += lists.empty[i];
    }
    mine.rank += other > own || (other == own && i < index) ? 1 : 0;
  }
  const auto reduce = [&](int value) {
    const int sum = Reduce(storage).Sum(value);
    __syncthreads();
    return sum;
  };
  const Standing sums{reduce(mine.tiles_before), reduce(mine.empty_before), reduce(mine.rank)};
  if (threadIdx.x == 0) result = sums;
  __syncthreads();
  return result;
}

__device__ void write_totals(const RowLists& lists, std::int32_t count) {
  const int tiles = sum_before(lists.counts, count);
  const int full = sum_before(lists.full, count);
  const int empty = sum_before(lists.empty, count);
  __shared__ Reduce::TempStorage storage;
  int visiting = 0;
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < count; i += kThreads) {
    visiting += lists.counts[i] != 0 ? 1 : 0;
  }
  visiting = Reduce(storage).Sum(visiting);
  if (threadIdx.x != 0) return;
  lists.totals[0] = tiles;
  lists.totals[1] = full;
  lists.totals[2] = visiting;
  lists.totals[3] = empty;
}

/// Tiles without bits first, then those with, each by key.
__device__ void write_row(const StripGrid& grid, const RowLists& lists, const std::uint32_t* ranks,
                          std::int32_t index) {
  __shared__ Scan::TempStorage storage;
  __shared__ std::uint32_t seen;
  const std::int32_t count = grid.masks * lists.row_tiles;
  const Standing standing = standing_of(lists, index, count);
  const std::int32_t mask = index / lists.row_tiles;
  const std::int32_t row_tile = index % lists.row_tiles;
  const std::int32_t first_block = row_tile * lists.groups;
  const WorkItem item{row_tile, standing.tiles_before, lists.counts[index], mask};
  if (threadIdx.x == 0) {
    seen = 0;
    lists.rows[index] = item;
    if (item.n_tiles != 0) {
      lists.items[standing.rank] = item;
      lists.lengths[standing.rank] = item.n_tiles;
    }
  }
  __syncthreads();

  std::int64_t plain_at = item.first_tile;
  std::int64_t masked_at = std::int64_t{item.first_tile} + item.n_tiles - lists.masked[index];
  for (std::int32_t base = 0; base < grid.key_tiles; base += kThreads) {
    const std::int32_t c = base + static_cast<std::int32_t>(threadIdx.x);
    const std::int64_t column = grid.column(mask, c);
    const std::uint32_t states =
        c < grid.key_tiles ? tile_states(grid, column, first_block, lists.groups) : 0;
    std::uint32_t before = states == 0 ? 0U : has_bits(states) ? 1U << 16 : 1U;
    std::uint32_t total = 0;
    Scan(storage).ExclusiveSum(before, before, total);
    if (states != 0) {
      const std::int64_t at =
          has_bits(states) ? masked_at + (before >> 16) : plain_at + (before & 0xFFFFU);
      if (at < lists.capacity) {
        lists.tiles[at] = {static_cast<std::uint32_t>(c) | states << kKeyTileBits,
                           has_bits(states) ? rank_of(grid, ranks, column, first_block) : kNoBits};
      }
      atomicOr(&seen, states);
    }
    plain_at += total & 0xFFFFU;
    masked_at += total >> 16;
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    EmptyBlock* empty = lists.empty_blocks + standing.empty_before;
    for (int g = 0; g < lists.groups && first_block + g < grid.row_blocks; ++g) {
      if ((seen >> (4 * g) & 15U) == 0) *empty++ = {mask, first_block + g};
    }
  }
  if (index == count - 1) write_totals(lists, count);
}

// --- bits ----------------------------------------------------------------------------------------

/// Moves the stored strips among kRankStep of a column to their place, a warp each.
__device__ void pack_strips(const StripGrid& grid, const std::uint32_t* ranks,
                            const std::uint32_t* unpacked, const StoredBits& bits,
                            std::int64_t index) {
  __shared__ std::uint32_t stored[kRankStep / 32];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t steps = grid.row_stride / kRankStep;
  const std::int64_t column = index / steps;
  const auto first = static_cast<std::int32_t>(index % steps) * kRankStep;
  if (threadIdx.x < kRankStep) {
    const std::uint8_t state = grid.states[column * grid.row_stride + first + threadIdx.x];
    const unsigned ballot = __ballot_sync(kAllLanes, has_bits(state));
    if (lane == 0) stored[warp] = ballot;
  }
  __syncthreads();
  std::uint64_t left = stored[0] | std::uint64_t{stored[1]} << 32;
  const std::int64_t base = ranks[index];
  for (int n = 0; left != 0; left &= left - 1, ++n) {
    if (n % kWarps != warp || base + n >= bits.capacity) continue;
    const std::int32_t r = first + __ffsll(static_cast<long long>(left)) - 1;
    const auto* const from =
        reinterpret_cast<const uint4*>(unpacked + (column * grid.row_blocks + r) * kStripWords);
    auto* const to = reinterpret_cast<uint4*>(bits.words + (base + n) * kStripWords);
    for (int i = lane; i < kStripWords / 4; i += 32) to[i] = from[i];
  }
}

__global__ void __launch_bounds__(kThreads)
    write_rows_kernel(const StripGrid grid, const __grid_constant__ Lists lists,
                      const std::uint32_t* const unpacked, const StoredBits bits) {
  std::int64_t block = blockIdx.x;
  for (int h = 0; h < lists.heights; ++h) {
    const std::int64_t count = std::int64_t{grid.masks} * lists.rows[h].row_tiles;
    if (block < count) {
      write_row(grid, lists.rows[h], lists.columns.ranks, static_cast<std::int32_t>(block));
      return;
    }
    block -= count;
  }
  pack_strips(grid, lists.columns.ranks, unpacked, bits, block);
}

}  // namespace

cudaError_t index_columns(const StripGrid& grid, const Lists& lists, cudaStream_t stream) {
  std::int64_t ctas = grid.column(grid.masks, 0);
  for (int h = 0; h < lists.heights; ++h) {
    ctas += (std::int64_t{grid.masks} * lists.rows[h].row_tiles + kWarps - 1) / kWarps;
  }
  index_columns_kernel<<<static_cast<unsigned>(ctas), kThreads, 0, stream>>>(grid, lists);
  return cudaGetLastError();
}

cudaError_t write_rows(const StripGrid& grid, const Lists& lists, const std::uint32_t* unpacked,
                       const StoredBits& bits, cudaStream_t stream) {
  std::int64_t ctas = 0;
  for (int h = 0; h < lists.heights; ++h)
    ctas += std::int64_t{grid.masks} * lists.rows[h].row_tiles;
  if (unpacked != nullptr) ctas += grid.column(grid.masks, 0) * (grid.row_stride / kRankStep);
  write_rows_kernel<<<static_cast<unsigned>(ctas), kThreads, 0, stream>>>(grid, lists, unpacked,
                                                                          bits);
  return cudaGetLastError();
}

}  // namespace attn::mask_build

// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/kernels.hpp"

namespace attn::hopper {
namespace {

constexpr int kThreads = 256;

/// A warp scans the flags of one row of tiles, from the first to the last.
__global__ void __launch_bounds__(kThreads) scan_flags_kernel(const ScanParams p) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int32_t index =
      static_cast<std::int32_t>(blockIdx.x) * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  if (index >= p.n_rows) return;
  const WorkItem row = p.rows[index];
  const OnesRun ones = p.ones == nullptr ? OnesRun{0, 0} : p.ones[index];
  const std::int32_t first_block = row.row_tile * p.groups;
  const std::int32_t blocks = min(p.groups, p.row_blocks - first_block);
  const std::uint32_t all_full = 0x55555555U & ((1U << (4 * blocks)) - 1);
  TileEntry* to = p.tiles + row.first_tile;
  for (std::int32_t base = 0; base < p.key_tiles; base += 32) {
    const std::int32_t c = base + lane;
    const bool visit = c < p.key_tiles && p.flags[std::int64_t{index} * p.key_tiles + c] != 0;
    const unsigned visits = __ballot_sync(0xFFFFFFFFU, visit);
    if (visit) {
      const bool full = c >= ones.offset && c < ones.offset + ones.total_ones;
      const std::uint32_t strip =
          static_cast<std::uint32_t>((row.mask * p.key_tiles + c) * p.row_blocks + first_block);
      to[__popc(visits & ((1U << lane) - 1))] = {
          static_cast<std::uint32_t>(c) | (full ? all_full : all_full << 1) << kKeyTileBits,
          full ? kNoBits : strip};
    }
    to += __popc(visits);
  }
}

}  // namespace

cudaError_t scan_flags(const ScanParams& params, cudaStream_t stream) {
  const int ctas = (params.n_rows + kThreads / 32 - 1) / (kThreads / 32);
  if (ctas == 0) return cudaSuccess;
  scan_flags_kernel<<<static_cast<unsigned>(ctas), kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace attn::hopper

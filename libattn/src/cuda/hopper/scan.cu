// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/scan.hpp"

namespace attn::hopper {
namespace {

constexpr int kThreads = 256;

/// By one warp.
template <class Entry>
__device__ void scan_line(const Scan<Entry>& scan, std::int32_t index) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const ScanLine line = scan.lines[index];
  const std::uint8_t* const flags = scan.flags + std::int64_t{index} * scan.units;
  Entry* to = scan.entries + line.first_entry;
  for (std::int32_t base = 0; base < scan.units; base += 32) {
    const std::int32_t unit = base + lane;
    const bool visit = unit < scan.units && flags[unit] != 0;
    const unsigned visits = __ballot_sync(0xFFFFFFFFU, visit);
    if (visit) {
      to[__popc(visits & ((1U << lane) - 1))] = entry_of<Entry>(line, unit, scan.strips_per_unit);
    }
    to += __popc(visits);
  }
}

__global__ void __launch_bounds__(kThreads)
    scan_flags_kernel(const Scan<TileEntry> rows, const Scan<StripEntry> columns) {
  const std::int32_t index =
      static_cast<std::int32_t>(blockIdx.x) * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  if (index < rows.n_lines) {
    scan_line(rows, index);
  } else if (index - rows.n_lines < columns.n_lines) {
    scan_line(columns, index - rows.n_lines);
  }
}

}  // namespace

cudaError_t scan_flags(const Scan<TileEntry>& rows, const Scan<StripEntry>& columns,
                       cudaStream_t stream) {
  const int ctas = (rows.n_lines + columns.n_lines + kThreads / 32 - 1) / (kThreads / 32);
  if (ctas == 0) return cudaSuccess;
  scan_flags_kernel<<<static_cast<unsigned>(ctas), kThreads, 0, stream>>>(rows, columns);
  return cudaGetLastError();
}

}  // namespace attn::hopper

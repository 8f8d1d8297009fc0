// SPDX-License-Identifier: Apache-2.0
//
// What the algorithms visit (algorithms.hpp), line by line. A line is a row of tiles, whose units
// are its key tiles, or a key tile of 128, whose units are its strips of 64 queries. Those that
// scan write their lists anew in front of every call, from one flag a unit.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/hopper/params.hpp"

namespace attn::hopper {

/// A run of consecutive full units of a line.
struct Run {
  std::int32_t offset, total_ones;
};

struct ScanLine {
  std::int32_t first_entry;   ///< of its list
  std::uint32_t full;         ///< the states of a full unit
  std::uint32_t first_strip;  ///< place of the bits of its first unit
  Run ones;                   ///< units that are visited as full ones, without bits
};

/// The lines of one pass. An Entry is a TileEntry or a StripEntry.
template <class Entry>
struct Scan {
  const std::uint8_t* flags;  ///< [line][unit], 1 where a unit is to be visited
  const ScanLine* lines;
  Entry* entries;
  std::int32_t n_lines, units;
  std::uint32_t strips_per_unit;  ///< from the bits of one unit to those of the next
};

/// How unit `unit` of a line stands in a list.
template <class Entry>
__host__ __device__ inline Entry entry_of(const ScanLine& line, std::int32_t unit,
                                          std::uint32_t strips_per_unit) {
  const auto place = static_cast<std::uint32_t>(unit);
  if (unit >= line.ones.offset && unit < line.ones.offset + line.ones.total_ones) {
    return {place | line.full << kKeyTileBits, kNoBits};
  }
  // kPartial is kFull a bit higher.
  return {place | line.full << (kKeyTileBits + 1), line.first_strip + place * strips_per_unit};
}

/// Writes the lists of both passes, each line from its first unit to its last.
[[nodiscard]] cudaError_t scan_flags(const Scan<TileEntry>& rows, const Scan<StripEntry>& columns,
                                     cudaStream_t stream);

}  // namespace attn::hopper

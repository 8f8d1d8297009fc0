// SPDX-License-Identifier: Apache-2.0
//
// Shared memory of one CTA and the barriers between the warp that loads and the warpgroups that
// compute.
//
//     q[items]   item i in slot i % items     [D / 64][block_m rows][64]   later its O, staged
//     k[stages]  step t in slot t % stages    [D / 64][block_n rows][64]
//     v[stages]  step t in slot t % stages    likewise
//     words[stages]  the mask bits of step t, beside its K, where a quadrant is partial (mask.cuh)
//
// Each [rows][64] panel is rows of 128 bytes, swizzled by TMA: 16-byte chunk c of row r lies at
// chunk c ^ (r % 8). Loads are issued in the order in which they are used: K(0), then K(t + 1),
// V(t), across the borders of items.
#pragma once

#include <cuda/ptx>

#include "cuda/hopper/params.hpp"
#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

inline constexpr int kPanel = 64;  ///< columns of a swizzled panel: 128 bytes of 16-bit numbers

/// Lanes of a warp that give back what the warp has read. One is enough behind __syncwarp, but
/// racecheck does not follow that: compiled with BLOCKFILL_RACECHECK, each lane arrives for itself.
#ifdef BLOCKFILL_RACECHECK
inline constexpr unsigned kArrivals = 32;
#else
inline constexpr unsigned kArrivals = 1;
#endif

/// What the loading warp tells the others about an item: which it is, or where O and LSE of its
/// head begin, in elements.
template <bool kPlaces>
struct ItemInfo {
  std::int32_t row_tile, batch, head;

  __device__ __forceinline__ std::int64_t before(const Strides& strides) const {
    return batch * strides.batch + head * strides.head;
  }
  static __device__ __forceinline__ ItemInfo of(const ForwardParams&, std::int32_t row_tile,
                                                std::int32_t batch, std::int32_t head) {
    return {row_tile, batch, head};
  }
  __device__ __forceinline__ std::int64_t o(const ForwardParams& p) const {
    return before(p.o_strides);
  }
  __device__ __forceinline__ std::int64_t lse(const ForwardParams& p) const {
    return before(p.lse_strides);
  }
};
template <>
struct ItemInfo<true> {
  std::int64_t o_place, lse_place;
  std::int32_t row_tile;

  static __device__ __forceinline__ ItemInfo of(const ForwardParams& p, std::int32_t row_tile,
                                                std::int32_t batch, std::int32_t head) {
    return {batch * p.o_strides.batch + head * p.o_strides.head,
            batch * p.lse_strides.batch + head * p.lse_strides.head, row_tile};
  }
  __device__ __forceinline__ std::int64_t o(const ForwardParams&) const { return o_place; }
  __device__ __forceinline__ std::int64_t lse(const ForwardParams&) const { return lse_place; }
};

/// Where the 64 rows of a block stand in the tensors: first, first + step, ...; or step 0, where
/// that is to be looked up in the order.
struct BlockRows {
  std::int32_t first, step;
};

inline constexpr std::int32_t kNoPart = -1;  ///< an item that is no part

/// And about a step, for each warpgroup its own.
enum StepFlags : std::uint32_t {
  kRun = 1,     ///< this warpgroup has something to compute
  kWide = 2,    ///< both key blocks; else one
  kSecond = 4,  ///< the one is the second
  kMasked = 8,  ///< some quadrant needs its bits
  kOpens = 16,  ///< first step of an item, for every warpgroup
  kEnd = 32,    ///< no step at all: the stream is over
};
inline constexpr int kStripShift =
    8;  ///< above the flags: which strip of the step's words, if kMasked

template <class Config>
struct SharedStorage {
  static constexpr int kQElements = Config::kBlockM * Config::kHeadDim;
  static constexpr int kKElements = Config::kBlockN * Config::kHeadDim;
  static constexpr int kWords = Config::kGroups * kStripWords;

  alignas(1024) std::uint16_t q[Config::kItemSlots][kQElements];
  alignas(1024) std::uint16_t k[Config::kStages][kKElements];
  alignas(1024) std::uint16_t v[Config::kStages][kKElements];
  alignas(16) std::uint32_t words[Config::kStages][kWords];
  std::uint64_t q_full[Config::kItemSlots], q_empty[Config::kItemSlots];
  std::uint64_t k_full[Config::kStages], k_empty[Config::kStages];
  std::uint64_t v_full[Config::kStages], v_empty[Config::kStages];
  ItemInfo<Config::kTellsPlaces> item[Config::kItemSlots];
  BlockRows rows[Config::kItemSlots][Config::kGroups];   ///< where kTellsRows
  std::uint32_t step[Config::kStages][Config::kGroups];  ///< StepFlags
  std::int32_t part[Config::kItemSlots];  ///< of the workspace, or kNoPart; only with kCuts
};

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Whether the phase with this parity is complete.
__device__ __forceinline__ bool ready(std::uint64_t& barrier, std::uint32_t parity) {
  return cuda::ptx::mbarrier_test_wait_parity(&barrier, parity);
}

/// Waits for its completion.
__device__ __forceinline__ void wait(std::uint64_t& barrier, std::uint32_t parity) {
  while (!cuda::ptx::mbarrier_try_wait_parity(&barrier, parity)) {
  }
}

/// The same by all lanes of a warp. The vote tells ptxas that they go on together; else it checks
/// for that in front of each shuffle and barrier to come.
__device__ __forceinline__ void wait_warp(std::uint64_t& barrier, std::uint32_t parity) {
  while (!__all_sync(0xFFFFFFFFU, cuda::ptx::mbarrier_try_wait_parity(&barrier, parity))) {
  }
}

__device__ __forceinline__ void arrive(std::uint64_t& barrier) {
  cuda::ptx::mbarrier_arrive(&barrier);
}

/// The same under a condition, without a branch, which costs products in flight 6 to 14 %.
__device__ __forceinline__ void arrive_if(bool condition, std::uint64_t& barrier) {
  asm volatile(
      "{.reg .pred p; setp.ne.u32 p, %0, 0; @p mbarrier.arrive.shared::cta.b64 _, [%1];}" ::"r"(
          static_cast<std::uint32_t>(condition)),
      "r"(shared_address(&barrier))
      : "memory");
}

__device__ __forceinline__ void arrive_expecting(std::uint64_t& barrier, std::uint32_t bytes) {
  cuda::ptx::mbarrier_arrive_expect_tx(cuda::ptx::sem_release, cuda::ptx::scope_cta,
                                       cuda::ptx::space_shared, &barrier, bytes);
}

__device__ __forceinline__ void load_box(const CUtensorMap& map, void* destination,
                                         std::uint64_t& barrier, std::int32_t column,
                                         std::int32_t row, std::int32_t head, std::int32_t batch) {
  const std::int32_t coordinates[4] = {column, row, head, batch};
  cuda::ptx::cp_async_bulk_tensor(cuda::ptx::space_cluster, cuda::ptx::space_global, destination,
                                  &map, coordinates, &barrier);
}

/// `bytes` from global memory as they lie there, both addresses and the size multiples of 16.
__device__ __forceinline__ void load_bytes(const void* source, void* destination,
                                           std::uint32_t bytes, std::uint64_t& barrier) {
  cuda::ptx::cp_async_bulk(cuda::ptx::space_cluster, cuda::ptx::space_global, destination, source,
                           bytes, &barrier);
}

/// Slot and parity of the n-th use of a ring.
template <int kSlots>
struct Turn {
  std::uint32_t slot = 0;
  std::uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    if (++slot == kSlots) {
      slot = 0;
      parity ^= 1;
    }
  }
};

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// Gradients take two passes, which one kernel runs item by item. An item keeps 64 rows a warpgroup
// and their gradient in place and streams 64 rows of the other side past them:
//
//                  stays (A1, A2)   passes by (B1, B2)   sums up
//     over rows    Q, dO            K, V                 dQ = dS K
//     over keys    K, V             Q, dO                dK = dSt Q,  dV = Pt dO
//
// In both S' = A1 B1t and dP' = A2 B2t (the second pass sees them transposed), and the first sum is
// dS' B1. Nothing is summed across CTAs: the result has the same bits on every run. The passes take
// turns head group by head group, so that the second finds Q, K, V and dO in the L2 cache.
//
// Shared memory of a CTA, in tiles of 64 rows: [head_dim / 64][64 rows][64], rows of 128 bytes
// swizzled by TMA as in pipeline.cuh.
#pragma once

#include "cuda/hopper/backward_params.hpp"
#include "cuda/hopper/ordered_rows.cuh"
#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

enum class Pass { rows, keys };

/// What the loading threads tell each other and the computing warps about an item.
struct BackwardItemInfo {
  static constexpr std::int32_t kNone = -1;  ///< the stream of items is over

  std::int32_t row_tile, batch, head;
  std::int32_t pass;  ///< Pass, or kNone

  [[nodiscard]] __device__ bool over_keys() const {
    return pass == static_cast<std::int32_t>(Pass::keys);
  }
};

/// What a warpgroup has to do in a step, and the place of its bits.
struct StepInfo {
  std::uint32_t flags;
  std::uint32_t bits;
};

/// Beside the StepFlags: the first step of an item of the pass over keys; the last step of an item,
/// where the loading thread knows that it is.
inline constexpr std::uint32_t kOverKeys = 64;
inline constexpr std::uint32_t kLast = 128;

/// What the kernels of two passes and of one have in common.
template <class T, int kDim, int kRing>
struct BackwardShape {
  using Element = T;
  static constexpr int kHeadDim = kDim;
  static constexpr int kGroups = kBackwardRows / kQuadrant;
  static constexpr int kStages = kRing;
  /// Whether a step has been loaded by the time that the products of the one before are issued.
  static constexpr bool kDeepRing = kRing > 3;
  static constexpr int kThreads = 128 * (kGroups + 1);
  /// Arrivals when every computing warp has come.
  static constexpr std::uint32_t kAllComputing = 4 * kGroups * kArrivals;

  // 504 registers a lane of four warps: the kernel is compiled for 168 a thread, and together no
  // more may be taken. dK and dV at head_dim 128 need all that the loading thread can miss.
  static constexpr int kLoadRegisters = kDim == 128 ? 24 : 40;
  static constexpr int kComputeRegisters = kDim == 128 ? 240 : 232;
  static_assert(kLoadRegisters + 2 * kComputeRegisters <= 504,
                "warpgroups would wait for registers for ever");
  static constexpr int kTileElements = kQuadrant * kDim;
  static constexpr std::uint32_t kTileBytes = kTileElements * 2;

  static_assert(kGroups == 2, "a strip of the mask has two key blocks, one a warpgroup");
};

template <class T, int kDim, int kRing, int kItems, Rows kFrom>
struct BackwardConfig : BackwardShape<T, kDim, kRing> {
  static constexpr int kItemSlots = kItems;
  static constexpr Rows kRows = kFrom;
  static constexpr int kPanels = kDim / kPanel;

  /// At head_dim 128 the sums of dK and dV leave no room for K and V in registers.
  template <Pass kPass>
  static constexpr bool kStationaryInRegisters = kPass == Pass::rows || kDim == 64;

  /// The strip of a step over keys comes along with its tiles, where there is room for it.
  static constexpr bool kBitsInShared = kDim == 64;
};

template <class Config>
struct BackwardStorage {
  using Tile = std::uint16_t[Config::kTileElements];

  alignas(1024) Tile a1[Config::kItemSlots][Config::kGroups];  ///< later the staging place of
  alignas(1024) Tile a2[Config::kItemSlots][Config::kGroups];  ///< what is written
  alignas(1024) Tile b1[Config::kStages];
  alignas(1024) Tile b2[Config::kStages];
  // Of the pass over keys: what belongs to the 64 queries of a step, and the strip's bits.
  alignas(128) float lse_log2[Config::kStages][kQuadrant];
  alignas(128) float delta[Config::kStages][kQuadrant];
  alignas(128) std::uint32_t bits[Config::kStages][Config::kBitsInShared ? kStripWords : 1];
  std::uint64_t item_known[Config::kItemSlots];  ///< its place: the lists of its steps may be read
  std::uint64_t items_over;                      ///< none is left to begin
  std::uint64_t item_full[Config::kItemSlots], item_empty[Config::kItemSlots];
  std::uint64_t step_full[Config::kStages], step_empty[Config::kStages];
  BackwardItemInfo item[Config::kItemSlots];
  BlockRows rows[Config::kItemSlots][Config::kGroups];  ///< of Rows::in_boxes
  StepInfo step[Config::kStages][Config::kGroups];
};

/// Makes barriers, single ones or arrays of them, whose phases take so many arrivals.
template <class... Barriers>
__device__ __forceinline__ void init_barriers(std::uint32_t arrivals, Barriers&... barriers) {
  const auto init = [arrivals](std::uint64_t* first, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes / sizeof(std::uint64_t); ++i) {
      cuda::ptx::mbarrier_init(first + i, arrivals);
    }
  };
  (init(reinterpret_cast<std::uint64_t*>(&barriers), sizeof barriers), ...);
}

/// The mask of a (batch, head) pair of queries.
__device__ __forceinline__ std::int64_t mask_of(const BackwardParams& p, std::int32_t batch,
                                                std::int32_t head) {
  return std::int64_t{p.mask.batch == 1 ? 0 : batch} * p.mask.heads +
         (p.mask.heads == 1 ? 0 : head);
}

/// Of an item over rows: the first of its tiles and their number.
__device__ __forceinline__ int2 row_of(const BackwardParams& p, const BackwardItemInfo& item) {
  const WorkItem* const row =
      p.mask.rows + mask_of(p, item.batch, item.head) * p.mask.row_tiles + item.row_tile;
  return {__ldg(&row->first_tile), __ldg(&row->n_tiles)};
}

/// Of an item over keys, for one head of queries: where its strips begin, and behind it where they
/// end.
__device__ __forceinline__ const std::int32_t* column_of(const BackwardParams& p,
                                                         const BackwardItemInfo& item,
                                                         std::int32_t head) {
  return p.columns.offsets + mask_of(p, item.batch, head) * p.columns.key_tiles + item.row_tile;
}

/// The w-th of the items from `first_item` on for `width` (batch, head) pairs from `first_repeat`
/// on.
__device__ __forceinline__ BackwardItemInfo place_item(const BackwardParams& p,
                                                       const BackwardItems& items, Pass pass,
                                                       std::uint32_t w, std::int32_t width,
                                                       std::int32_t first_item,
                                                       std::int32_t first_repeat) {
  const auto at = static_cast<std::int32_t>(w);
  const auto item = __ldg(reinterpret_cast<const int2*>(items.items) + first_item + at / width);
  const std::int32_t repeat = items.first_repeat + first_repeat + at % width;
  const bool shared_batch = p.mask.batch == 1;
  return {item.x, shared_batch ? repeat / items.heads : item.y,
          shared_batch ? repeat % items.heads : repeat, static_cast<std::int32_t>(pass)};
}

/// Work w of the schedule; where it has no items over rows, those over keys alone.
__device__ __forceinline__ BackwardItemInfo find_item(const BackwardParams& p, std::uint32_t w) {
  const BackwardItems& rows = p.schedule.rows;
  const BackwardItems& keys = p.schedule.keys;
  const auto heavy_rows = static_cast<std::uint32_t>(rows.heavy_items * rows.repeats);
  const auto heavy_keys = static_cast<std::uint32_t>(keys.heavy_items * keys.repeats);
  if (w < heavy_rows) return place_item(p, rows, Pass::rows, w, rows.repeats, 0, 0);
  w -= heavy_rows;
  if (w < heavy_keys) return place_item(p, keys, Pass::keys, w, keys.repeats, 0, 0);
  w -= heavy_keys;
  const std::int32_t width = p.schedule.head_group;
  const std::int32_t light_rows = (rows.n_items - rows.heavy_items) * p.group;
  const std::int32_t light_keys = keys.n_items - keys.heavy_items;
  const auto block = static_cast<std::uint32_t>((light_rows + light_keys) * width);
  const auto first = static_cast<std::int32_t>(w / block) * width;
  w %= block;
  const std::int32_t here = min(width, keys.repeats - first);
  const auto rows_here = static_cast<std::uint32_t>(here * light_rows);
  if (w < rows_here) {
    return place_item(p, rows, Pass::rows, w, here * p.group, rows.heavy_items, first * p.group);
  }
  return place_item(p, keys, Pass::keys, w - rows_here, here, keys.heavy_items, first);
}

/// Brings the end of the strips of an item over keys, which are read first, to this multiprocessor.
__device__ __forceinline__ void warm_column(const BackwardParams& p, const BackwardItemInfo& item) {
  const std::int32_t* const offset = column_of(p, item, item.head * p.group);
  ptx::prefetch(p.columns.strips + __ldg(offset + 1) - 1);
}

/// A tile of 64 rows, all their columns at once.
__device__ __forceinline__ void load_rows(const CUtensorMap& map, std::uint16_t* destination,
                                          std::uint64_t& full, std::int32_t row, std::int32_t head,
                                          std::int32_t batch) {
  const std::int32_t coordinates[5] = {0, row, 0, head, batch};
  cuda::ptx::cp_async_bulk_tensor(cuda::ptx::space_cluster, cuda::ptx::space_global, destination,
                                  &map, coordinates, &full);
}

/// A tensor as a kernel loads it: in the mask's order by `map`, or by boxes.
struct Loaded {
  const CUtensorMap& map;
  const OrderedTensor& boxes;
};

/// The first box of the block of 64 rows that begins at `row`, where rows come in boxes.
template <class Config>
__device__ __forceinline__ RowBox first_box(const OrderedRows& rows, std::int32_t row) {
  if constexpr (Config::kRows == Rows::in_boxes) {
    if (rows.boxes != nullptr) return look_up(rows, row / kBoxRows);
  }
  return {};
}

/// Likewise tiles of two tensors of one side; `first` is first_box of their block.
template <class Config>
__device__ __forceinline__ void load_tiles(const OrderedRows& rows, const RowBox& first,
                                           const Loaded& tensor1, std::uint16_t* destination1,
                                           const Loaded& tensor2, std::uint16_t* destination2,
                                           std::uint64_t& full, std::int32_t row, std::int32_t head,
                                           std::int32_t batch) {
  const auto load_box = [&](const RowBox& box, int index) {
#pragma unroll
    for (int panel = 0; panel < Config::kPanels; ++panel) {
      load_panel(tensor1.boxes, box, index, panel, destination1 + panel * kQuadrant * kPanel, full,
                 head, batch);
      load_panel(tensor2.boxes, box, index, panel, destination2 + panel * kQuadrant * kPanel, full,
                 head, batch);
    }
  };
  if constexpr (Config::kRows == Rows::in_boxes) {
    if (rows.boxes != nullptr) {
      if (source_of(first) >= kWhole) return load_box(first, 0);
      constexpr int kAtOnce = 2;  // reads in flight
#pragma unroll 1
      for (int b = 0; b < kBoxesOfBlock; b += kAtOnce) {
        RowBox boxes[kAtOnce];
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) boxes[k] = look_up(rows, row / kBoxRows + b + k);
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) load_box(boxes[k], b + k);
      }
      return;
    }
  }
  load_rows(tensor1.map, destination1, full, row, head, batch);
  load_rows(tensor2.map, destination2, full, row, head, batch);
}

}  // namespace attn::hopper

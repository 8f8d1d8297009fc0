// SPDX-License-Identifier: Apache-2.0
//
// Loads of rows in the mask's order from where they lie, by the boxes of row_boxes.hpp.
#pragma once

#include <cuda/ptx>

#include "cuda/hopper/pipeline.cuh"

namespace attn::hopper {

__device__ __forceinline__ RowBox look_up(const OrderedRows& rows, std::int32_t box) {
  const uint2 raw = __ldg(reinterpret_cast<const uint2*>(rows.boxes) + box);
  return {static_cast<std::int32_t>(raw.x), raw.y};
}
__device__ __forceinline__ std::uint32_t source_of(const RowBox& box) {
  return box.part >> kSourceShift;
}
__device__ __forceinline__ std::int32_t part_of(const RowBox& box) {
  return static_cast<std::int32_t>(box.part & ((1U << kSourceShift) - 1));
}

/// Box `index` of a block of 64 rows, one panel of 64 columns, to the panel's first row at
/// `destination`. Of a whole block the first loads all.
__device__ __forceinline__ void load_panel(const OrderedTensor& tensor, const RowBox& box,
                                           int index, int panel, std::uint16_t* destination,
                                           std::uint64_t& barrier, std::int32_t head,
                                           std::int32_t batch) {
  if (source_of(box) >= kWhole && index != 0) return;
  const std::int32_t coordinates[5] = {panel * kPanel, box.row, part_of(box), head, batch};
  cuda::ptx::cp_async_bulk_tensor(cuda::ptx::space_cluster, cuda::ptx::space_global,
                                  destination + index * kBoxRows * kPanel,
                                  &tensor.maps[source_of(box)], coordinates, &barrier);
}

/// By the first box of the block.
__device__ __forceinline__ BlockRows block_rows(const OrderedRows& rows, const RowBox& box) {
  if (source_of(box) != kWhole) return {0, 0};
  return {box.row * rows.stride + part_of(box), rows.stride};
}

/// Row i of the mask, number `place` of its block.
__device__ __forceinline__ std::int64_t row_in(const BlockRows& block, int place,
                                               const std::int32_t* order, std::int32_t i) {
  return block.step != 0 ? block.first + place * block.step : __ldg(order + i);
}

}  // namespace attn::hopper

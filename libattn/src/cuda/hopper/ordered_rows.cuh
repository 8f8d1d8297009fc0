// SPDX-License-Identifier: Apache-2.0
//
// Loads of 64 rows in the mask's order from where they lie, by the boxes of row_boxes.hpp.
#pragma once

#include <cuda/ptx>

#include "cuda/hopper/pipeline.cuh"

namespace attn::hopper {

/// Rows 64 * block, ... of the mask's order to `destination`, kPanels panels of 64 columns, one
/// `panel_elements` behind the other. By kLanes lanes of a warp, or by one thread; `barrier` is to
/// expect 64 whole rows.
template <int kPanels, int kLanes>
__device__ __forceinline__ void load_ordered(const OrderedRows& rows, const OrderedTensor& tensor,
                                             std::int32_t block, std::uint16_t* destination,
                                             int panel_elements, std::uint64_t& barrier,
                                             std::int32_t head, std::int32_t batch, int lane) {
  const auto look_up = [](const RowBox* box) {
    const uint2 raw = __ldg(reinterpret_cast<const uint2*>(box));
    return RowBox{static_cast<std::int32_t>(raw.x), raw.y};
  };
  const auto load = [&](const CUtensorMap& map, std::uint16_t* place, int panel,
                        const RowBox& box) {
    const std::int32_t coordinates[5] = {
        panel * kPanel, box.row, static_cast<std::int32_t>(box.part & ((1U << kSourceShift) - 1)),
        head, batch};
    cuda::ptx::cp_async_bulk_tensor(cuda::ptx::space_cluster, cuda::ptx::space_global, place, &map,
                                    coordinates, &barrier);
  };
  const RowBox whole = look_up(rows.blocks + block);
  if (whole.part >> kSourceShift != kSplit) {
    for (int panel = lane; panel < kPanels; panel += kLanes) {
      load(tensor.block, destination + panel * panel_elements, panel, whole);
    }
    return;
  }
  constexpr int kGroups = kQuadrant / kBoxGroup;
  for (int i = lane; i < kPanels * kGroups; i += kLanes) {
    const int panel = i / kGroups;
    const int group = i % kGroups;
    const RowBox box = look_up(rows.groups + whole.row + group);
    load(tensor.group[box.part >> kSourceShift],
         destination + panel * panel_elements + group * kBoxGroup * kPanel, panel, box);
  }
}

}  // namespace attn::hopper

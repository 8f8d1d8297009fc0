// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "attn/device_block_mask.hpp"
#include "cuda/mask_build/strip_grid.hpp"
#include "cuda/runtime.hpp"

namespace attn::mask_build {

/// A CSR pattern that owns its memory on the device.
struct DeviceCsr {
  cuda::DeviceArray<std::int64_t> offsets;
  cuda::DeviceArray<std::int32_t> cols;
  std::int64_t nnz = 0;

  [[nodiscard]] CsrSource source() const { return {offsets.data(), cols.data(), nnz}; }
};

/// Sorts coordinates in device memory by row, then column, and drops what is told twice. Waits for
/// the stream. Throws Error{invalid_mask} for a pair outside the mask.
[[nodiscard]] DeviceCsr sort_coordinates(const CooPattern& pattern, cudaStream_t stream);

}  // namespace attn::mask_build

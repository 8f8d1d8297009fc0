// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>

#include "attn/tensor.hpp"
#include "cuda/runtime.hpp"

namespace attn::hopper {

/// The TMA map of a [batch, heads, rows, head_dim] tensor whose boxes are `box_rows` rows by one
/// 128-byte panel, swizzled; rows outside the tensor are read as zeros. The driver's encoder is
/// looked up at run time: libcuda is not linked, so that the library starts without a driver.
[[nodiscard]] inline CUtensorMap tensor_map(const TensorView& tensor, int box_rows) {
  using Encode =
      CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                   const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                   CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  static const Encode encode = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found{};
    cuda::check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000,
                                                 cudaEnableDefault, &found),
                "looking up cuTensorMapEncodeTiled");
    if (found != cudaDriverEntryPointSuccess) {
      throw Error(ErrorCode::device, "this driver has no cuTensorMapEncodeTiled");
    }
    return reinterpret_cast<Encode>(entry);
  }();

  const cuuint64_t extents[4] = {
      static_cast<cuuint64_t>(tensor.shape[3]), static_cast<cuuint64_t>(tensor.shape[2]),
      static_cast<cuuint64_t>(tensor.shape[1]), static_cast<cuuint64_t>(tensor.shape[0])};
  // The stride of an axis of length 1 is never used, but must be valid.
  const auto bytes = [&](int axis) {
    const bool used = tensor.shape[static_cast<std::size_t>(axis)] > 1;
    return static_cast<cuuint64_t>(
        2 * (used ? tensor.strides[static_cast<std::size_t>(axis)] : tensor.shape[3]));
  };
  const cuuint64_t strides[3] = {bytes(2), bytes(1), bytes(0)};
  const cuuint32_t box[4] = {64, static_cast<cuuint32_t>(box_rows), 1, 1};
  const cuuint32_t step[4] = {1, 1, 1, 1};
  CUtensorMap map;
  const CUresult result =
      encode(&map,
             tensor.dtype == DType::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                        : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
             4, tensor.data, extents, strides, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw Error(ErrorCode::device,
                "cuTensorMapEncodeTiled returned " + std::to_string(static_cast<int>(result)));
  }
  return map;
}

}  // namespace attn::hopper

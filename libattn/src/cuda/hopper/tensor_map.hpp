// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>

#include "attn/tensor.hpp"
#include "cuda/runtime.hpp"

namespace attn::hopper {

/// The driver's encoder, looked up at run time: libcuda is not linked, so that the library starts
/// without a driver.
[[nodiscard]] inline CUtensorMap encode_map(DType dtype, int rank, void* data,
                                            const cuuint64_t* extents, const cuuint64_t* strides,
                                            const cuuint32_t* box) {
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
  const cuuint32_t step[5] = {1, 1, 1, 1, 1};
  CUtensorMap map;
  const CUresult result = encode(
      &map,
      dtype == DType::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
      static_cast<cuuint32_t>(rank), data, extents, strides, box, step,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw Error(ErrorCode::device,
                "cuTensorMapEncodeTiled returned " + std::to_string(static_cast<int>(result)));
  }
  return map;
}

/// Bytes from one index of an axis to the next. That of an axis of length 1 is never used, but must
/// be valid.
[[nodiscard]] inline cuuint64_t stride_bytes(const TensorView& tensor, std::size_t axis) {
  return static_cast<cuuint64_t>(2 *
                                 (tensor.shape[axis] > 1 ? tensor.strides[axis] : tensor.shape[3]));
}

/// The TMA map of a [batch, heads, rows, head_dim] tensor whose boxes are `box_rows` rows by one
/// 128-byte panel, swizzled; rows outside the tensor are read as zeros.
[[nodiscard]] inline CUtensorMap tensor_map(const TensorView& tensor, int box_rows) {
  const cuuint64_t extents[4] = {
      static_cast<cuuint64_t>(tensor.shape[3]), static_cast<cuuint64_t>(tensor.shape[2]),
      static_cast<cuuint64_t>(tensor.shape[1]), static_cast<cuuint64_t>(tensor.shape[0])};
  const cuuint64_t strides[3] = {stride_bytes(tensor, 2), stride_bytes(tensor, 1),
                                 stride_bytes(tensor, 0)};
  const cuuint32_t box[4] = {64, static_cast<cuuint32_t>(box_rows), 1, 1};
  return encode_map(tensor.dtype, 4, tensor.data, extents, strides, box);
}

/// The TMA map of a [batch, heads, rows, head_dim] tensor whose rows are dealt out to `stride`
/// parts, row i to part i % stride; what does not fill all parts is outside. Boxes are `box_rows`
/// rows of a part by one panel. Coordinates are column, row in the part, part, head, batch.
[[nodiscard]] inline CUtensorMap strided_map(const TensorView& tensor, std::int64_t stride,
                                             int box_rows) {
  const cuuint64_t extents[5] = {
      static_cast<cuuint64_t>(tensor.shape[3]), static_cast<cuuint64_t>(tensor.shape[2] / stride),
      static_cast<cuuint64_t>(stride), static_cast<cuuint64_t>(tensor.shape[1]),
      static_cast<cuuint64_t>(tensor.shape[0])};
  const cuuint64_t row = stride_bytes(tensor, 2);
  const cuuint64_t strides[4] = {row * static_cast<cuuint64_t>(stride), row,
                                 stride_bytes(tensor, 1), stride_bytes(tensor, 0)};
  const cuuint32_t box[5] = {64, static_cast<cuuint32_t>(box_rows), 1, 1, 1};
  return encode_map(tensor.dtype, 5, tensor.data, extents, strides, box);
}

/// The map of a tensor with boxes of whole rows: panel by panel, each [box_rows][64]. Coordinates
/// are column in the panel, row, panel, head, batch.
[[nodiscard]] inline CUtensorMap row_map(const TensorView& tensor, int box_rows) {
  const auto panels = static_cast<cuuint64_t>(tensor.shape[3] / 64);
  const cuuint64_t extents[5] = {64, static_cast<cuuint64_t>(tensor.shape[2]), panels,
                                 static_cast<cuuint64_t>(tensor.shape[1]),
                                 static_cast<cuuint64_t>(tensor.shape[0])};
  const cuuint64_t strides[4] = {stride_bytes(tensor, 2), 128, stride_bytes(tensor, 1),
                                 stride_bytes(tensor, 0)};
  const cuuint32_t box[5] = {64, static_cast<cuuint32_t>(box_rows), static_cast<cuuint32_t>(panels),
                             1, 1};
  return encode_map(tensor.dtype, 5, tensor.data, extents, strides, box);
}

}  // namespace attn::hopper

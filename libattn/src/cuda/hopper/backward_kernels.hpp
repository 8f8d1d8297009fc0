// SPDX-License-Identifier: Apache-2.0
//
// The kernels of the backward pass that this build has.
#pragma once

#include <cuda_runtime_api.h>

#include <span>

#include "attn/tensor.hpp"
#include "cuda/hopper/backward_params.hpp"

namespace attn::hopper {

struct BackwardKernel {
  DType dtype;
  int head_dim;
  /// Raises the shared-memory limit of the kernels; once a device, before the first launch.
  cudaError_t (*prepare)();
  // The kernels of one backward, on `ctas` multiprocessors: what all heads need in front, the
  // gradients of the heads of the schedule, and the safe path behind.
  cudaError_t (*open)(const BackwardParams& params, int ctas, cudaStream_t stream);
  cudaError_t (*launch)(const BackwardParams& params, int ctas, cudaStream_t stream);
  cudaError_t (*close)(const BackwardParams& params, int ctas, cudaStream_t stream);
};

[[nodiscard]] std::span<const BackwardKernel> backward_kernels();

}  // namespace attn::hopper

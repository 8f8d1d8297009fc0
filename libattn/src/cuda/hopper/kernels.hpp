// SPDX-License-Identifier: Apache-2.0
//
// The kernels that this build has: one entry a line of sources.cmake.
#pragma once

#include <cuda_runtime_api.h>

#include <span>

#include "attn/tensor.hpp"
#include "cuda/hopper/params.hpp"

namespace attn::hopper {

struct Kernel {
  DType dtype;
  int head_dim, block_m, block_n;
  bool gathers;  ///< may bring rows into an order itself
  bool cuts;     ///< may take parts of rows
  /// Raises the shared-memory limit of the kernels; once a device, before the first launch.
  cudaError_t (*prepare)();
  /// The kernels of one forward, on `ctas` multiprocessors.
  cudaError_t (*launch)(const ForwardParams& params, int ctas, cudaStream_t stream);
};

[[nodiscard]] std::span<const Kernel> kernels();

}  // namespace attn::hopper

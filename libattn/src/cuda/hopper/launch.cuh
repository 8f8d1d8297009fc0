// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/hopper/finish.cuh"
#include "cuda/hopper/forward.cuh"
#include "cuda/hopper/kernels.hpp"

namespace attn::hopper {

/// Shared memory of a CTA, with room to align it to the swizzle's 1024 bytes.
template <class Config>
inline constexpr int kSharedBytes = static_cast<int>(sizeof(SharedStorage<Config>)) + 1024;

template <class Config, class Steps>
cudaError_t prepare_kernels() {
  return cudaFuncSetAttribute(forward_kernel<Config, Steps>,
                              cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<Config>);
}

template <class Config, class Steps>
cudaError_t launch_kernels(const ForwardParams& params, int ctas, cudaStream_t stream) {
  if (params.work_count != 0) {
    forward_kernel<Config, Steps><<<ctas, Config::kThreads, kSharedBytes<Config>, stream>>>(params);
    if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  }
  finish_kernel<Config><<<ctas, kFinishThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

template <class Config, class Steps>
Kernel make_kernel() {
  static_assert(kSharedBytes<Config> <= 232448, "a CTA of sm_90 has 227 KiB of shared memory");
  return {.dtype = std::is_same_v<typename Config::Element, __half> ? DType::f16 : DType::bf16,
          .head_dim = Config::kHeadDim,
          .block_m = Config::kBlockM,
          .block_n = Config::kBlockN,
          .gathers = Config::kGathers,
          .prepare = prepare_kernels<Config, Steps>,
          .launch = launch_kernels<Config, Steps>};
}

}  // namespace attn::hopper

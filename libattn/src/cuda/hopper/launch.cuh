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
cudaError_t prepare_kernel() {
  return cudaFuncSetAttribute(forward_kernel<Config, Steps>,
                              cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<Config>);
}

template <class Config, class Steps>
cudaError_t prepare_kernels() {
  cudaError_t error = prepare_kernel<Config, Steps>();
  if (error != cudaSuccess) return error;
  error = prepare_kernel<typename Config::template With<Rows::in_boxes>, Steps>();
  if constexpr (Config::kCanGather) {
    if (error != cudaSuccess) return error;
    error = prepare_kernel<typename Config::template With<Rows::gathered>, Steps>();
  }
  return error;
}

template <class Config, class Steps>
cudaError_t launch_kernel(const ForwardParams& params, int ctas, cudaStream_t stream) {
  forward_kernel<Config, Steps><<<ctas, Config::kThreads, kSharedBytes<Config>, stream>>>(params);
  return cudaGetLastError();
}

template <class Config, class Steps>
cudaError_t launch_forward(const ForwardParams& params, int ctas, cudaStream_t stream) {
  if (params.q_rows.boxes != nullptr || params.kv_rows.boxes != nullptr) {
    using InBoxes = typename Config::template With<Rows::in_boxes>;
    return launch_kernel<InBoxes, Steps>(params, ctas, stream);
  }
  if constexpr (Config::kCanGather) {
    if (params.gather.ctas != 0) {
      using Gathered = typename Config::template With<Rows::gathered>;
      return launch_kernel<Gathered, Steps>(params, ctas, stream);
    }
  }
  return launch_kernel<Config, Steps>(params, ctas, stream);
}

template <class Config, class Steps>
cudaError_t launch_kernels(const ForwardParams& params, int ctas, cudaStream_t stream) {
  if (params.work_count != 0) {
    const cudaError_t error = launch_forward<Config, Steps>(params, ctas, stream);
    if (error != cudaSuccess) return error;
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
          .gathers = Config::kCanGather,
          .prepare = prepare_kernels<Config, Steps>,
          .launch = launch_kernels<Config, Steps>};
}

}  // namespace attn::hopper

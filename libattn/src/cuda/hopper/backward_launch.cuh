// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <utility>

#include "cuda/hopper/backward.cuh"
#include "cuda/hopper/backward_finish.cuh"
#include "cuda/hopper/backward_kernels.hpp"
#include "cuda/hopper/backward_prepare.cuh"
#include "cuda/hopper/launch_behind.cuh"
#include "cuda/hopper/one_pass.cuh"

namespace attn::hopper {

template <class T, int kDim>
struct BackwardKernels {
  template <Rows kRows>
  using Config = BackwardConfig<T, kDim, kDim == 64 ? 6 : 3, 2, kRows>;

  using OnePass = OnePassConfig<T, kDim, kDim == 64 ? 6 : 3>;

  static constexpr int kShared =
      static_cast<int>(sizeof(BackwardStorage<Config<Rows::stand>>)) + 1024;
  static constexpr int kOnePassShared = static_cast<int>(sizeof(OnePassStorage<OnePass>));
  static_assert(std::max(kShared, kOnePassShared) <= 232448,
                "a CTA of sm_90 has 227 KiB of shared memory");

  static cudaError_t prepare() {
    for (const auto& [kernel, bytes] : {std::pair{&backward_kernel<Config<Rows::stand>>, kShared},
                                        {&backward_kernel<Config<Rows::in_boxes>>, kShared},
                                        {&backward_kernel<Config<Rows::gathered>>, kShared},
                                        {&one_pass_kernel<OnePass>, kOnePassShared}}) {
      const cudaError_t error =
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }

  static cudaError_t open(const BackwardParams& p, int ctas, cudaStream_t stream) {
    const int pairs = std::clamp(p.batch * p.heads, 1, 65535);
    const int blocks = std::max(1, std::min(p.padded_q / 128, ctas * 64 / pairs));
    prepare_backward_kernel<T, kDim>
        <<<dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(pairs)), kPrepareThreads, 0,
           stream>>>(p);
    return cudaGetLastError();
  }

  static cudaError_t launch(const BackwardParams& p, int ctas, cudaStream_t stream) {
    const auto grid = static_cast<unsigned>(ctas);
    if (p.dq_sums.sums != nullptr) {
      const cudaError_t error = launch_behind(one_pass_kernel<OnePass>, grid, OnePass::kThreads,
                                              kOnePassShared, stream, p);
      if (error != cudaSuccess) return error;
      return launch_behind(write_dq_kernel<T, kDim>, 8 * grid, kDqThreads, 0, stream, p);
    }
    if (p.schedule.work_count == 0) return cudaSuccess;
    auto* const kernel = p.q_rows.boxes != nullptr || p.kv_rows.boxes != nullptr
                             ? backward_kernel<Config<Rows::in_boxes>>
                         : p.copies.drawn != nullptr ? backward_kernel<Config<Rows::gathered>>
                                                     : backward_kernel<Config<Rows::stand>>;
    return launch_behind(kernel, grid, Config<Rows::stand>::kThreads, kShared, stream, p);
  }

  static cudaError_t close(const BackwardParams& p, int ctas, cudaStream_t stream) {
    return launch_behind(finish_backward_kernel<T, kDim>, static_cast<unsigned>(ctas),
                         kFinishThreads, 0, stream, p);
  }
};

template <class T, int kDim>
BackwardKernel make_backward_kernel() {
  return {.dtype = std::is_same_v<T, __half> ? DType::f16 : DType::bf16,
          .head_dim = kDim,
          .prepare = BackwardKernels<T, kDim>::prepare,
          .open = BackwardKernels<T, kDim>::open,
          .launch = BackwardKernels<T, kDim>::launch,
          .close = BackwardKernels<T, kDim>::close};
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "cuda/hopper/backward.cuh"
#include "cuda/hopper/backward_finish.cuh"
#include "cuda/hopper/backward_kernels.hpp"
#include "cuda/hopper/backward_prepare.cuh"

namespace attn::hopper {

template <class T, int kDim>
struct BackwardKernels {
  // At head_dim 128 the sums of dK and dV leave no room for K and V in registers.
  static constexpr int kStages = kDim == 64 ? 6 : 3;
  using Rows = BackwardConfig<T, kDim, Pass::rows, kStages, 2, true>;
  using Keys = BackwardConfig<T, kDim, Pass::keys, kStages, 2, kDim == 64>;

  template <class Config>
  static constexpr int kShared = static_cast<int>(sizeof(BackwardStorage<Config>)) + 1024;
  static_assert(kShared<Rows> <= 232448 && kShared<Keys> <= 232448,
                "a CTA of sm_90 has 227 KiB of shared memory");

  template <class Config>
  static cudaError_t allow_shared_memory() {
    return cudaFuncSetAttribute(backward_kernel<Config>,
                                cudaFuncAttributeMaxDynamicSharedMemorySize, kShared<Config>);
  }

  static cudaError_t prepare() {
    for (const cudaError_t error : {allow_shared_memory<Rows>(), allow_shared_memory<Keys>()}) {
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }

  template <class Config>
  static void launch_pass(const BackwardParams& p, const BackwardSchedule& schedule, int ctas,
                          cudaStream_t stream) {
    if (schedule.work_count == 0) return;
    backward_kernel<Config><<<ctas, Config::kThreads, kShared<Config>, stream>>>(p);
  }

  static cudaError_t launch(const BackwardParams& p, int ctas, cudaStream_t stream) {
    const int pairs = std::clamp(p.batch * p.heads, 1, 65535);
    const int blocks = std::max(1, std::min(p.padded_q / 128, ctas * 64 / pairs));
    prepare_backward_kernel<T, kDim>
        <<<dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(pairs)), kPrepareThreads, 0,
           stream>>>(p);
    launch_pass<Rows>(p, p.rows, ctas, stream);
    launch_pass<Keys>(p, p.keys, ctas, stream);
    finish_backward_kernel<T, kDim><<<ctas, kFinishThreads, 0, stream>>>(p);
    return cudaGetLastError();
  }
};

template <class T, int kDim>
BackwardKernel make_backward_kernel() {
  return {.dtype = std::is_same_v<T, __half> ? DType::f16 : DType::bf16,
          .head_dim = kDim,
          .prepare = BackwardKernels<T, kDim>::prepare,
          .launch = BackwardKernels<T, kDim>::launch};
}

}  // namespace attn::hopper

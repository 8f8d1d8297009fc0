// SPDX-License-Identifier: Apache-2.0
//
// The gradients as a kernel: two threads load, two warpgroups compute, CTAs live for the whole
// launch and take items from a counter.
#pragma once

#include "cuda/hopper/backward_computer.cuh"
#include "cuda/hopper/backward_items.cuh"
#include "cuda/hopper/backward_loader.cuh"
#include "cuda/hopper/launch_behind.cuh"
#include "cuda/hopper/row_copies.cuh"

namespace attn::hopper {

/// While the others compute: two warps, and the registers that they have.
template <class Config>
__device__ __forceinline__ void copy_for_next_launch(const BackwardParams& p,
                                                     BackwardStorage<Config>& shared) {
  copy_pieces<Config::kHeadDim, Config::kHeadDim == 64 ? 4 : 2, true>(
      p.copies, [&] { return ready(shared.items_over, 0); });
}

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, 1)
    backward_kernel(const __grid_constant__ BackwardParams p) {
  extern __shared__ std::uint8_t dynamic_shared[];
  auto& shared = *reinterpret_cast<BackwardStorage<Config>*>(
      dynamic_shared + (1024 - shared_address(dynamic_shared) % 1024) % 1024);

  if (threadIdx.x == 0) {
    init_barriers(1, shared.item_known, shared.items_over, shared.item_full, shared.step_full);
    init_barriers(Config::kAllComputing, shared.item_empty, shared.step_empty);
    cuda::ptx::fence_mbarrier_init(cuda::ptx::sem_release, cuda::ptx::scope_cluster);
  }
  __syncthreads();
  let_next_begin();
  wait_for_front();

  const int warpgroup = __shfl_sync(0xFFFFFFFFU, threadIdx.x / 128, 0);
  if (warpgroup == 0) {
    ptx::give_registers<Config::kLoadRegisters>();
    if (threadIdx.x == 0) BackwardLoader<Config>(p, shared).run();
    if (threadIdx.x == 32) BackwardItemLoader<Config>(p, shared).run();
    if constexpr (Config::kRows == Rows::gathered) {
      if (threadIdx.x >= 64) copy_for_next_launch<Config>(p, shared);
    }
  } else {
    ptx::take_registers<Config::kComputeRegisters>();
    compute_gradients(p, shared, warpgroup - 1);
  }
}

}  // namespace attn::hopper

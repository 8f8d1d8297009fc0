// SPDX-License-Identifier: Apache-2.0
//
// The gradients as a kernel: two threads load, two warpgroups compute, CTAs live for the whole
// launch and take items from a counter.
#pragma once

#include "cuda/hopper/backward_computer.cuh"
#include "cuda/hopper/backward_items.cuh"
#include "cuda/hopper/backward_loader.cuh"

namespace attn::hopper {

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, 1)
    backward_kernel(const __grid_constant__ BackwardParams p) {
  extern __shared__ std::uint8_t dynamic_shared[];
  auto& shared = *reinterpret_cast<BackwardStorage<Config>*>(
      dynamic_shared + (1024 - shared_address(dynamic_shared) % 1024) % 1024);

  if (threadIdx.x == 0) {
    for (int i = 0; i < Config::kItemSlots; ++i) {
      cuda::ptx::mbarrier_init(&shared.item_known[i], 1);
      cuda::ptx::mbarrier_init(&shared.item_full[i], 1);
      cuda::ptx::mbarrier_init(&shared.item_empty[i], 4 * Config::kGroups * kArrivals);
    }
    for (int i = 0; i < Config::kStages; ++i) {
      cuda::ptx::mbarrier_init(&shared.step_full[i], 1);
      cuda::ptx::mbarrier_init(&shared.step_empty[i], 4 * Config::kGroups * kArrivals);
    }
    cuda::ptx::fence_mbarrier_init(cuda::ptx::sem_release, cuda::ptx::scope_cluster);
  }
  __syncthreads();

  const int warpgroup = __shfl_sync(0xFFFFFFFFU, threadIdx.x / 128, 0);
  if (warpgroup == 0) {
    ptx::give_registers<Config::kLoadRegisters>();
    if (threadIdx.x == 0) BackwardLoader<Config>(p, shared).run();
    if (threadIdx.x == 32) BackwardItemLoader<Config>(p, shared).run();
  } else {
    ptx::take_registers<Config::kComputeRegisters>();
    compute_gradients(p, shared, warpgroup - 1);
  }
}

}  // namespace attn::hopper

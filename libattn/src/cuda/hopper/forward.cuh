// SPDX-License-Identifier: Apache-2.0
//
// Exact masked attention on sm_90a. One CTA a multiprocessor lives for the whole launch and takes
// items (a row of tiles of one head) from a counter. One warp loads by TMA; each of 2 or 3
// warpgroups computes 64 rows of the item:
//
//     loading warp    Q(i)  K0 K1 V0 K2 V1 ...            -> rings in shared memory (pipeline.cuh)
//     warpgroup       S = Q Kt(t+1) | O += P V(t)         wgmma, both in flight together
//                     softmax of t+1 while P V(t) runs    O, S and P never leave the registers
//
// The stream of steps does not stop between items: the first Q Kt of the next item is already in
// flight when the last P V of this one is waited for and O is written. The warpgroups take turns
// in issuing (named barriers), so that one's softmax runs under the other's products.
//
// Which tiles an item visits is the business of its source of steps (steps.cuh), a parameter of the
// kernel: another way to walk a mask needs no other line of it.
#pragma once

#include "cuda/hopper/computer.cuh"
#include "cuda/hopper/config.cuh"
#include "cuda/hopper/gather_ahead.cuh"
#include "cuda/hopper/loader.cuh"
#include "cuda/hopper/params.hpp"
#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/ptx.cuh"
#include "cuda/hopper/steps.cuh"

namespace attn::hopper {

template <class Config, StepSource Steps>
__global__ void __launch_bounds__(Config::kThreads, 1)
    forward_kernel(const __grid_constant__ ForwardParams p) {
  extern __shared__ std::uint8_t dynamic_shared[];
  auto& shared = *reinterpret_cast<SharedStorage<Config>*>(
      dynamic_shared + (1024 - shared_address(dynamic_shared) % 1024) % 1024);

  if (threadIdx.x == 0) {
    for (int i = 0; i < Config::kItemSlots; ++i) {
      cuda::ptx::mbarrier_init(&shared.q_full[i], 1);
      cuda::ptx::mbarrier_init(&shared.q_empty[i], 4 * Config::kGroups * kArrivals);
    }
    for (int i = 0; i < Config::kStages; ++i) {
      cuda::ptx::mbarrier_init(&shared.k_full[i], 1);
      cuda::ptx::mbarrier_init(&shared.k_empty[i], Config::kGroups * Config::kReleases);
    }
    for (int i = 0; i < Config::kStages; ++i) {
      cuda::ptx::mbarrier_init(&shared.v_full[i], 1);
      cuda::ptx::mbarrier_init(&shared.v_empty[i], Config::kGroups * Config::kReleases);
    }
    cuda::ptx::fence_mbarrier_init(cuda::ptx::sem_release, cuda::ptx::scope_cluster);
  }
  __syncthreads();
  if constexpr (Config::kGathers) {
    if (p.gather.ctas != 0) gather_ahead<Config>(p);
  }

  const int warpgroup = __shfl_sync(0xFFFFFFFFU, threadIdx.x / 128, 0);
  if (warpgroup == 0) {
    ptx::give_registers<Config::kLoadRegisters>();
    if (threadIdx.x < 32) Loader<Config, Steps>(p, shared).run();
  } else {
    ptx::take_registers<Config::kComputeRegisters>();
    Computer<Config>(p, shared, warpgroup - 1).run();
  }
}

}  // namespace attn::hopper

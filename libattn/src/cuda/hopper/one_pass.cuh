// SPDX-License-Identifier: Apache-2.0
//
// The gradients in one pass (one_pass_config.cuh) as a kernel: four threads find, load and add, two
// warpgroups compute. The kernel behind it turns the sums of dQ into dQ.
#pragma once

#include "cuda/hopper/launch_behind.cuh"
#include "cuda/hopper/one_pass_computer.cuh"
#include "cuda/hopper/one_pass_loader.cuh"

namespace attn::hopper {

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, 1)
    one_pass_kernel(const __grid_constant__ BackwardParams p) {
  extern __shared__ __align__(1024) std::uint8_t one_pass_shared[];
  auto& shared = *reinterpret_cast<OnePassStorage<Config>*>(one_pass_shared);

  if (threadIdx.x == 0) {
    init_barriers(1, shared.wanted, shared.found, shared.k_full, shared.v_full, shared.dq_empty,
                  shared.step_full);
    init_barriers(Config::kAllComputing, shared.k_empty, shared.v_empty, shared.ds_full,
                  shared.dq_full, shared.step_empty);
    cuda::ptx::fence_mbarrier_init(cuda::ptx::sem_release, cuda::ptx::scope_cluster);
  }
  __syncthreads();
  let_next_begin();
  wait_for_front();

  const int warpgroup = __shfl_sync(0xFFFFFFFFU, threadIdx.x / 128, 0);
  if (warpgroup == 0) {
    ptx::give_registers<Config::kLoadRegisters>();
    if (threadIdx.x == 0) OnePassLoader<Config>(p, shared).run();
    if (threadIdx.x == 32) find_items(p, shared);
    if (threadIdx.x == 64) add_dq(p, shared, 0);
    if (threadIdx.x == 96) add_dq(p, shared, 1);
  } else {
    ptx::take_registers<Config::kComputeRegisters>();
    OnePassComputer<Config>(p, shared, warpgroup - 1).run();
  }
}

inline constexpr int kDqThreads = 256;

/// From the sums to dQ: scaled, rounded, a row of the caller's for each of the mask's. Clears the
/// turns for the sums of other heads.
template <class T, int kDim>
__global__ void __launch_bounds__(kDqThreads)
    write_dq_kernel(const __grid_constant__ BackwardParams p) {
  let_next_begin();
  wait_for_front();
  constexpr int kRowBytes = kDim * 2 + 16;  // banks
  __shared__ alignas(16) std::uint8_t rows[kQuadrant * kRowBytes];
  const int half = static_cast<int>(threadIdx.x) / 128;
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int row = thread / 32 * 16 + thread % 32 / 4;
  const auto row_blocks = static_cast<std::uint32_t>(p.dq_sums.row_blocks);
  const std::uint32_t places = static_cast<std::uint32_t>(p.dq_sums.pairs.count()) * row_blocks;
  for (std::uint32_t place = blockIdx.x; place < places; place += gridDim.x) {
    const std::int64_t at = std::int64_t{place} * 2 + half;
    // Where additions take turns, a place without any has never been written.
    const bool any = !p.dq_sums.ordered || p.dq_sums.turns[place] != 0;
    const auto* const from =
        reinterpret_cast<const float4*>(p.dq_sums.sums) + at * (kDim / 16) * 128 + thread;
    float finite = 0;
#pragma unroll
    for (int j = 0; j < kDim / 16; ++j) {
      float4 x = any ? __ldcs(from + j * 128) : float4{0, 0, 0, 0};
      x.x *= p.scale;
      x.y *= p.scale;
      x.z *= p.scale;
      x.w *= p.scale;
      finite += x.x * 0.0F + x.y * 0.0F + x.z * 0.0F + x.w * 0.0F;
      const int column = half * kDim / 2 + 8 * j + 2 * (thread % 4);
      *reinterpret_cast<std::uint32_t*>(rows + row * kRowBytes + column * 2) =
          ptx::pack<T>(x.x, x.y);
      *reinterpret_cast<std::uint32_t*>(rows + (row + 8) * kRowBytes + column * 2) =
          ptx::pack<T>(x.z, x.w);
    }
    if (finite != 0) p.state->redo[0] = 1;
    __syncthreads();
    if (threadIdx.x == 0) p.dq_sums.turns[place] = 0;
    const std::int32_t pair = p.dq_sums.pairs.pair(static_cast<std::int32_t>(place / row_blocks));
    const auto block = static_cast<std::int32_t>(place % row_blocks);
    auto* const out = static_cast<std::uint16_t*>(p.dq.data) + pair / p.heads * p.dq.strides.batch +
                      pair % p.heads * p.dq.strides.head;
    constexpr int kChunks = kDim / 8;
    for (int c = static_cast<int>(threadIdx.x); c < kQuadrant * kChunks; c += kDqThreads) {
      const std::int32_t i = block * kQuadrant + c / kChunks;
      if (i >= p.n_q) break;
      const std::int64_t to = p.dq.order == nullptr ? i : __ldg(p.dq.order + i);
      __stcs(reinterpret_cast<uint4*>(out + to * p.dq.strides.row + c % kChunks * 8),
             *reinterpret_cast<const uint4*>(rows + c / kChunks * kRowBytes + c % kChunks * 16));
    }
    __syncthreads();
  }
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// The two matrix products of a step, as series of wgmmas over panels of 64 columns.
#pragma once

#include "cuda/hopper/config.cuh"
#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

/// S = Q Kt, committed as one group. Descriptors are of the first 16 columns.
template <class Config, int kCount>
__device__ __forceinline__ void multiply_scores(float (&s)[kCount], std::uint64_t q,
                                                std::uint64_t k) {
  ptx::pin(s);
  ptx::wgmma_fence();
#pragma unroll
  for (int step = 0; step < Config::kHeadDim / 16; ++step) {
    // 16 columns are 32 bytes inside a panel; four of them fill it.
    const int panel = step / 4;
    const int inside = step % 4 * 32;
    ptx::wgmma_ss<typename Config::Element>(s, q + ((panel * Config::kBlockM * 128 + inside) >> 4),
                                            k + ((panel * Config::kBlockN * 128 + inside) >> 4),
                                            step != 0);
  }
  ptx::wgmma_commit();
}

/// O (+)= P V over 16 * kSteps keys, committed as one group. `almost_done` is called when two
/// products are left to issue.
template <class Config, int kSteps, int kOutputs, int kWeights, class AlmostDone>
__device__ __forceinline__ void multiply_output(float (&o)[kOutputs], std::uint32_t (&p)[kWeights],
                                                std::uint64_t v, bool keep,
                                                AlmostDone almost_done) {
  ptx::pin(o);
  ptx::pin(p);
  ptx::wgmma_fence();
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    // Waking the next warpgroup takes about as long as the last products.
    if (step == kSteps - 2) almost_done();
    // 16 keys are two atoms of 8 rows x 128 bytes.
    ptx::wgmma_rs<typename Config::Element>(o, p[4 * step], p[4 * step + 1], p[4 * step + 2],
                                            p[4 * step + 3], v + ((step * 2048) >> 4),
                                            step != 0 || keep);
  }
  ptx::wgmma_commit();
}

}  // namespace attn::hopper

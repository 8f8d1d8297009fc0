// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "cuda/hopper/finish.cuh"
#include "cuda/hopper/forward.cuh"
#include "cuda/hopper/kernels.hpp"
#include "cuda/hopper/merge.cuh"

namespace attn::hopper {

/// Shared memory of a CTA, with room to align it to the swizzle's 1024 bytes.
template <class Config>
inline constexpr int kSharedBytes = static_cast<int>(sizeof(SharedStorage<Config>)) + 1024;

/// visit(type_identity) of the kernel's configuration for such calls, which it must be able to
/// take.
template <class Config, class Visit>
cudaError_t visit_variant(Rows rows, bool cuts, Visit visit) {
  if (rows == Rows::in_boxes) {
    return visit(std::type_identity<typename Config::template With<Rows::in_boxes, false>>{});
  }
  if constexpr (Config::kCanGather) {
    using Gathered = typename Config::template With<Rows::gathered, false>;
    using GatheredParts = typename Config::template With<Rows::gathered, true>;
    using Parts = typename Config::template With<Rows::stand, true>;
    if (rows == Rows::gathered) {
      return cuts ? visit(std::type_identity<GatheredParts>{})
                  : visit(std::type_identity<Gathered>{});
    }
    if (cuts) return visit(std::type_identity<Parts>{});
  }
  return visit(std::type_identity<Config>{});
}

template <class Config, class Steps>
cudaError_t prepare_kernels() {
  for (const Rows rows : {Rows::stand, Rows::in_boxes, Rows::gathered}) {
    for (const bool cuts : {false, true}) {
      const cudaError_t error = visit_variant<Config>(rows, cuts, [](auto variant) {
        using Variant = typename decltype(variant)::type;
        return cudaFuncSetAttribute(forward_kernel<Variant, Steps>,
                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    kSharedBytes<Variant>);
      });
      if (error != cudaSuccess) return error;
    }
  }
  return cudaSuccess;
}

template <class Config>
cudaError_t launch_merge(const ForwardParams& params, cudaStream_t stream) {
  const std::int64_t threads =
      std::int64_t{params.cuts.items[0]} * params.repeats * kMergeThreadsPerTile<Config>;
  const auto ctas = static_cast<unsigned>((threads + kMergeThreads - 1) / kMergeThreads);
  merge_kernel<Config><<<ctas, kMergeThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

template <class Config, class Steps>
cudaError_t launch_kernels(const ForwardParams& params, int ctas, cudaStream_t stream) {
  if (params.work_count != 0) {
    const bool in_boxes = params.q_rows.boxes != nullptr || params.kv_rows.boxes != nullptr;
    const Rows rows = in_boxes                  ? Rows::in_boxes
                      : params.gather.ctas != 0 ? Rows::gathered
                                                : Rows::stand;
    const bool cuts = params.cuts.items[0] != 0;
    cudaError_t error = visit_variant<Config>(rows, cuts, [&](auto variant) {
      using Variant = typename decltype(variant)::type;
      forward_kernel<Variant, Steps>
          <<<ctas, Variant::kThreads, kSharedBytes<Variant>, stream>>>(params);
      return cudaGetLastError();
    });
    if (cuts && error == cudaSuccess) error = launch_merge<Config>(params, stream);
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
          .cuts = Config::kCanCut,
          .prepare = prepare_kernels<Config, Steps>,
          .launch = launch_kernels<Config, Steps>};
}

}  // namespace attn::hopper

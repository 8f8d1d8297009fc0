// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/kernels.hpp"

namespace attn::hopper {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) gather_kernel(const GatherParams p) {
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; c < p.chunks;
       c += step) {
    const std::int64_t row = c / p.chunks_per_row;
    const std::int64_t head = row / p.rows;
    const auto* const from = static_cast<const std::uint16_t*>(p.source) +
                             head / p.heads * p.strides.batch + head % p.heads * p.strides.head +
                             p.order[row % p.rows] * p.strides.row;
    static_cast<uint4*>(p.destination)[c] =
        reinterpret_cast<const uint4*>(from)[c % p.chunks_per_row];
  }
}

}  // namespace

cudaError_t gather_rows(const GatherParams& params, int ctas, cudaStream_t stream) {
  gather_kernel<<<ctas * 8, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace attn::hopper

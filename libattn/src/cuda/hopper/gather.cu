// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cuda/hopper/kernels.hpp"

namespace attn::hopper {
namespace {

constexpr int kThreads = 256;

struct Gathers {
  GatherParams tensors[kMaxGathers];
};

/// One tensor a row of the grid.
__global__ void __launch_bounds__(kThreads) gather_kernel(const __grid_constant__ Gathers gathers) {
  const GatherParams& p = gathers.tensors[blockIdx.y];
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; c < p.chunks;
       c += step) {
    const std::int64_t row = c / p.chunks_per_row;
    const std::int64_t head = row / p.n_rows;
    const std::int32_t from = p.rows[row % p.n_rows];
    uint4 data{0, 0, 0, 0};
    if (from != kNoRow) {
      const auto* const source = static_cast<const std::uint16_t*>(p.source) +
                                 head / p.heads * p.strides.batch +
                                 head % p.heads * p.strides.head + from * p.strides.row;
      data = reinterpret_cast<const uint4*>(source)[c % p.chunks_per_row];
    }
    static_cast<uint4*>(p.destination)[c] = data;
  }
}

}  // namespace

cudaError_t gather_rows(std::span<const GatherParams> tensors, int ctas, cudaStream_t stream) {
  Gathers gathers{};
  std::int64_t chunks = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    gathers.tensors[i] = tensors[i];
    chunks = std::max(chunks, tensors[i].chunks);
  }
  if (chunks == 0) return cudaSuccess;
  const std::int64_t blocks = std::min<std::int64_t>(ctas * 8, (chunks + kThreads - 1) / kThreads);
  gather_kernel<<<dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(tensors.size())),
                  kThreads, 0, stream>>>(gathers);
  return cudaGetLastError();
}

}  // namespace attn::hopper

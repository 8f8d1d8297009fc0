// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/row_copies.cuh"

#include <algorithm>

#include "cuda/hopper/launch_behind.cuh"

namespace attn::hopper {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kDeep = 4;

template <int kHeadDim>
__global__ void __launch_bounds__(kThreads)
    copy_rows_kernel(const __grid_constant__ RowCopies copies) {
  let_next_begin();
  if (!copies.beside) wait_for_front();
  if (copies.clear != nullptr && blockIdx.x == 0 && threadIdx.x == 0) *copies.clear = 0;
  if (copies.drawn != nullptr) {
    copy_pieces<kHeadDim, kDeep, false>(copies, [] { return false; });
  } else {
    std::uint32_t piece = blockIdx.x * kWarps + threadIdx.x / 32;
    while (copy_piece<kHeadDim, kDeep, false>(copies, piece)) piece += gridDim.x * kWarps;
  }
  if (copies.beside) wait_for_front();
}

}  // namespace

cudaError_t copy_rows(const RowCopies& copies, int multiprocessors, cudaStream_t stream) {
  std::int64_t rows = 0;
  for (const RowCopy& copy : copies.tensors) rows += std::int64_t{copy.pairs.count()} * copy.n_rows;
  if (rows == 0) return cudaSuccess;
  const std::int64_t pieces = rows / RowCopies::kPieceRows + 1;
  const auto ctas = static_cast<unsigned>(
      std::min<std::int64_t>(multiprocessors * 8, (pieces + kWarps - 1) / kWarps));
  auto* const kernel = copies.head_dim == 64 ? copy_rows_kernel<64> : copy_rows_kernel<128>;
  return launch_behind(kernel, ctas, kThreads, 0, stream, copies);
}

}  // namespace attn::hopper

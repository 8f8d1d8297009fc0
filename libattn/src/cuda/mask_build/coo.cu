// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_select.cuh>
#include <string>

#include "cuda/mask_build/coo.hpp"

namespace attn::mask_build {
namespace {

using cuda::check;
using cuda::DeviceArray;

constexpr int kThreads = 256;
using Key = std::uint64_t;  ///< row, then column

struct Outcome {
  unsigned long long first_bad;  ///< ~ the first pair outside the mask; 0 when there is none
  std::int64_t distinct;
};

__global__ void make_keys(const std::int32_t* rows, const std::int32_t* cols, std::int64_t nnz,
                          std::int32_t n_q, std::int32_t n_k, int col_bits, Key* keys,
                          Outcome* outcome) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= nnz) return;
  const std::int32_t row = rows[i];
  const std::int32_t col = cols[i];
  if (row < 0 || row >= n_q || col < 0 || col >= n_k) {
    atomicMax(&outcome->first_bad, ~static_cast<unsigned long long>(i));
  }
  keys[i] = static_cast<Key>(row) << col_bits | static_cast<std::uint32_t>(col);
}

__global__ void find_rows(const Key* keys, const Outcome* outcome, std::int32_t n_q, int col_bits,
                          std::int64_t* offsets) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row > n_q) return;
  std::int64_t low = 0;
  std::int64_t high = outcome->distinct;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (keys[middle] < static_cast<Key>(row) << col_bits) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  offsets[row] = low;
}

__global__ void take_columns(const Key* keys, const Outcome* outcome, int col_bits,
                             std::int32_t* cols) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < outcome->distinct) {
    cols[i] = static_cast<std::int32_t>(keys[i] & ((Key{1} << col_bits) - 1));
  }
}

unsigned ctas_for(std::int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

/// Runs a device algorithm of CUB, which first says how much scratch it needs.
template <class Algorithm>
void run(Algorithm algorithm, const char* doing) {
  std::size_t bytes = 0;
  check(algorithm(nullptr, bytes), doing);
  const DeviceArray<std::byte> scratch(std::max<std::size_t>(bytes, 1));
  check(algorithm(scratch.data(), bytes), doing);
}

[[noreturn]] void report(const CooPattern& pattern, std::int64_t pair) {
  std::int32_t place[2];
  check(cudaMemcpy(&place[0], pattern.rows.data() + pair, 4, cudaMemcpyDeviceToHost),
        "reading a pair");
  check(cudaMemcpy(&place[1], pattern.cols.data() + pair, 4, cudaMemcpyDeviceToHost),
        "reading a pair");
  throw Error(ErrorCode::invalid_mask,
              "COO mask: pair " + std::to_string(pair) + " is (" + std::to_string(place[0]) + ", " +
                  std::to_string(place[1]) + "), outside " + std::to_string(pattern.n_q) +
                  " queries by " + std::to_string(pattern.n_k) + " keys");
}

}  // namespace

DeviceCsr sort_coordinates(const CooPattern& pattern, cudaStream_t stream) {
  const auto nnz = static_cast<std::int64_t>(pattern.rows.size());
  const int col_bits = std::bit_width(static_cast<std::uint32_t>(pattern.n_k));
  const int row_bits = std::bit_width(static_cast<std::uint32_t>(pattern.n_q));
  DeviceCsr csr{DeviceArray<std::int64_t>(static_cast<std::size_t>(pattern.n_q) + 1),
                DeviceArray<std::int32_t>(static_cast<std::size_t>(nnz)), 0};
  const DeviceArray<Key> given(static_cast<std::size_t>(nnz));
  const DeviceArray<Key> sorted(static_cast<std::size_t>(nnz));
  const DeviceArray<Outcome> outcome(std::size_t{1});
  check(cudaMemsetAsync(outcome.data(), 0, sizeof(Outcome), stream), "clearing a counter");
  if (nnz != 0) {
    make_keys<<<ctas_for(nnz), kThreads, 0, stream>>>(pattern.rows.data(), pattern.cols.data(), nnz,
                                                      pattern.n_q, pattern.n_k, col_bits,
                                                      given.data(), outcome.data());
    check(cudaGetLastError(), "launching the keys of coordinates");
    run(
        [&](void* scratch, std::size_t& bytes) {
          return cub::DeviceRadixSort::SortKeys(scratch, bytes, given.data(), sorted.data(), nnz, 0,
                                                col_bits + row_bits, stream);
        },
        "sorting coordinates");
    run(
        [&](void* scratch, std::size_t& bytes) {
          return cub::DeviceSelect::Unique(scratch, bytes, sorted.data(), given.data(),
                                           &outcome.data()->distinct, nnz, stream);
        },
        "dropping coordinates told twice");
    take_columns<<<ctas_for(nnz), kThreads, 0, stream>>>(given.data(), outcome.data(), col_bits,
                                                         csr.cols.data());
    check(cudaGetLastError(), "launching the columns of coordinates");
  }
  find_rows<<<ctas_for(std::int64_t{pattern.n_q} + 1), kThreads, 0, stream>>>(
      given.data(), outcome.data(), pattern.n_q, col_bits, csr.offsets.data());
  check(cudaGetLastError(), "launching the rows of coordinates");

  Outcome found{};
  check(cudaMemcpyAsync(&found, outcome.data(), sizeof found, cudaMemcpyDeviceToHost, stream),
        "reading a counter");
  check(cudaStreamSynchronize(stream), "sorting coordinates");
  if (found.first_bad != 0) report(pattern, static_cast<std::int64_t>(~found.first_bad));
  csr.nnz = found.distinct;
  return csr;
}

}  // namespace attn::mask_build

// SPDX-License-Identifier: Apache-2.0
//
// The heads that a launch works on, where it does not work on all.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace attn::hopper {

/// Some (batch, head) pairs, which are numbered batch * heads + head: `runs` times `width` of them,
/// from `first` on and `heads` apart. Either one run of any width, or one in each batch.
struct PairRange {
  std::int32_t first, width, heads, runs;

  [[nodiscard]] __host__ __device__ std::int32_t count() const { return width * runs; }
  /// The i-th of them.
  [[nodiscard]] __host__ __device__ std::int32_t pair(std::int32_t i) const {
    return first + i / width * heads + i % width;
  }
  /// Places from one batch to the next, where they lie one behind the other.
  [[nodiscard]] __host__ __device__ std::int32_t batch_step() const {
    return runs == 1 ? heads : width;
  }
  /// The place there of a head.
  [[nodiscard]] __host__ __device__ std::int32_t place(std::int32_t batch,
                                                       std::int32_t head) const {
    return batch * batch_step() + head - first;
  }
  /// Those of `group` times as many heads.
  [[nodiscard]] PairRange times(std::int32_t group) const {
    return {first * group, width * group, heads * group, runs};
  }
};

}  // namespace attn::hopper

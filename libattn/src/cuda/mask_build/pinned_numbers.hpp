// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/runtime.hpp"

namespace attn::mask_build {

/// Host memory that kernels write into.
class PinnedNumbers {
 public:
  void require(std::size_t count) {
    if (count <= count_) return;
    void* memory = nullptr;
    cuda::check(cudaMallocHost(&memory, count * sizeof(std::int32_t)), "allocating pinned memory");
    cudaFreeHost(numbers_);
    numbers_ = static_cast<std::int32_t*>(memory);
    count_ = count;
  }
  PinnedNumbers() = default;
  PinnedNumbers(const PinnedNumbers&) = delete;
  PinnedNumbers& operator=(const PinnedNumbers&) = delete;
  ~PinnedNumbers() { cudaFreeHost(numbers_); }

  [[nodiscard]] std::int32_t* data() const noexcept { return numbers_; }
  [[nodiscard]] std::int32_t operator[](std::size_t i) const noexcept { return numbers_[i]; }

 private:
  std::int32_t* numbers_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace attn::mask_build

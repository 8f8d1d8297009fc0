// SPDX-License-Identifier: Apache-2.0
//
// The CUDA runtime with C++ manners: errors are thrown, device memory has an owner.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "attn/error.hpp"

namespace attn::cuda {

/// Throws Error{device} with what was being done and what the runtime says.
inline void check(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return;
  throw Error(ErrorCode::device, std::string(doing) + ": " + cudaGetErrorString(error) + " (" +
                                     cudaGetErrorName(error) + ")");
}

/// An owned array of T on the device.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::size_t count) : count_(count) {
    if (count == 0) return;
    void* memory = nullptr;
    check(cudaMalloc(&memory, count * sizeof(T)), "allocating device memory");
    data_ = static_cast<T*>(memory);
  }
  /// A copy of host memory.
  explicit DeviceArray(std::span<const T> host) : DeviceArray(host.size()) {
    if (host.empty()) return;
    check(cudaMemcpy(data_, host.data(), host.size_bytes(), cudaMemcpyHostToDevice),
          "copying to the device");
  }
  DeviceArray(DeviceArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~DeviceArray() { cudaFree(data_); }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace attn::cuda

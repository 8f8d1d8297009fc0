// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace attn::cpu {

/// Uninitialised floats on a 64-byte boundary, as wide as any vector.
class FloatBuffer {
 public:
  FloatBuffer() = default;
  explicit FloatBuffer(std::size_t count)
      : data_(static_cast<float*>(::operator new(count * sizeof(float), kAlignment))),
        size_(count) {}

  [[nodiscard]] float* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Holds at least `count` floats afterwards; what they were is lost.
  void require(std::size_t count) {
    if (count > size_) *this = FloatBuffer(count);
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* memory) const noexcept { ::operator delete(memory, kAlignment); }
  };
  std::unique_ptr<float, Free> data_;
  std::size_t size_ = 0;
};

/// Memory kept from call to call: fresh pages cost more than a sparse mask's arithmetic. Each call
/// takes a set for itself, so that calls from several threads do not meet.
template <class Set>
class Pool {
 public:
  [[nodiscard]] std::unique_ptr<Set> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<Set>();
    std::unique_ptr<Set> set = std::move(free_.back());
    free_.pop_back();
    return set;
  }

  void give_back(std::unique_ptr<Set> set) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(set));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Set>> free_;
};

}  // namespace attn::cpu

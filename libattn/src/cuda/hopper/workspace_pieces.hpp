// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "attn/backend.hpp"

namespace attn::hopper {

/// Hands out pieces of a call's workspace, each on a boundary of 128 bytes, as TMA and bulk copies
/// ask. With a null workspace all pieces are null, and it only counts.
class WorkspacePieces {
 public:
  explicit WorkspacePieces(void* workspace) {
    const auto address = reinterpret_cast<std::uintptr_t>(workspace);
    if (workspace != nullptr) {
      base_ = static_cast<std::byte*>(workspace) + (kAlignment - address % kAlignment) % kAlignment;
    }
  }

  template <class T>
  [[nodiscard]] T* take(std::size_t count) {
    used_ = (used_ + kAlignment - 1) / kAlignment * kAlignment;
    std::byte* const place = base_ == nullptr ? nullptr : base_ + used_;
    used_ += count * sizeof(T);
    return reinterpret_cast<T*>(place);
  }

  /// Bytes that a workspace needs for what was taken: the caller's boundary is coarser than that of
  /// the pieces. 0 when nothing was.
  [[nodiscard]] std::size_t bytes() const {
    return used_ == 0 ? 0 : used_ + kAlignment - kWorkspaceAlignment;
  }

 private:
  static constexpr std::size_t kAlignment = 128;
  std::byte* base_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace attn::hopper

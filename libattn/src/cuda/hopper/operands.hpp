// SPDX-License-Identifier: Apache-2.0
//
// What the kernels ask of the caller's tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "attn/tensor.hpp"
#include "cuda/hopper/params.hpp"

namespace attn::hopper {

/// TMA and 16-byte stores need whole 16-byte rows in place. Nothing, or a sentence why not.
[[nodiscard]] inline std::optional<std::string> check_layout(const char* name,
                                                             const TensorView& tensor) {
  const std::string start = std::string("backend hopper needs ") + name;
  if (tensor.strides[3] != 1) {
    return start + " with contiguous rows, but its last stride is " +
           std::to_string(tensor.strides[3]);
  }
  for (std::size_t axis = 0; axis < 3; ++axis) {
    if (tensor.shape[axis] > 1 && (tensor.strides[axis] % 8 != 0 || tensor.strides[axis] <= 0)) {
      return start + " with positive strides that are multiples of 8, but stride " +
             std::to_string(axis) + " is " + std::to_string(tensor.strides[axis]);
    }
  }
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % 16 != 0) {
    return start + " aligned to 16 bytes";
  }
  return std::nullopt;
}

[[nodiscard]] inline Strides strides_of(const TensorView& tensor) {
  return {tensor.strides[0], tensor.strides[1], tensor.strides[2]};
}

}  // namespace attn::hopper

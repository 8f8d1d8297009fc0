// SPDX-License-Identifier: Apache-2.0
#include "experiments/device_mask.hpp"

#include <span>

namespace experiments {
namespace {

template <class T>
std::span<const T> upload(const attn::Backend& backend, std::span<const T> host,
                          attn::Buffer& memory) {
  memory = backend.allocate(host.size_bytes());
  backend.copy_in(memory.get(), host.data(), host.size_bytes());
  return {static_cast<const T*>(memory.get()), host.size()};
}

}  // namespace

DevicePattern::DevicePattern(const attn::Backend& backend, const reorder::CsrView& pattern) {
  view_.n_q = pattern.n_rows;
  view_.n_k = pattern.n_cols;
  view_.offsets = upload(backend, pattern.row_offsets, offsets_);
  view_.cols = upload(backend, pattern.col_indices, cols_);
}

}  // namespace experiments

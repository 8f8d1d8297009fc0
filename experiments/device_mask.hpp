// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "attn/backend.hpp"
#include "attn/block_mask.hpp"
#include "reorder/csr.hpp"

namespace experiments {

/// A mask's CSR pattern in a backend's memory, from where a device builds its own mask.
class DevicePattern {
 public:
  DevicePattern(const attn::Backend& backend, const reorder::CsrView& pattern);

  /// Its spans point into device memory.
  [[nodiscard]] const attn::CsrPattern& view() const noexcept { return view_; }

 private:
  attn::Buffer offsets_;
  attn::Buffer cols_;
  attn::CsrPattern view_;
};

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
//
// Tensors of the tests in the memory of the backend hopper.
#pragma once

#include <vector>

#include "attn/oracle.hpp"

namespace attn::test {

inline const Backend& hopper() {
  return backend("hopper");
}

/// A host tensor's copy on the device.
class OnDevice {
 public:
  explicit OnDevice(const Tensor& host)
      : bytes_(static_cast<std::size_t>(host.view().elements()) * size_of(host.view().dtype)),
        memory_(hopper().allocate(bytes_)),
        view_(host.view()) {
    hopper().copy_in(memory_.get(), view_.data, bytes_);
    view_.data = memory_.get();
  }
  [[nodiscard]] const TensorView& view() const { return view_; }
  void fetch(const Tensor& host) const {
    hopper().copy_out(host.view().data, memory_.get(), bytes_);
  }

 private:
  std::size_t bytes_;
  Buffer memory_;
  TensorView view_;
};

/// Inputs and poisoned outputs on the device.
struct DeviceInputs {
  OnDevice q, k, v, o, lse;
  std::optional<float> scale;

  explicit DeviceInputs(const Inputs& in)
      : q(in.q), k(in.k), v(in.v), o(in.o), lse(in.lse), scale(in.scale) {}
  [[nodiscard]] ForwardArgs args() const {
    return {.q = q.view(),
            .k = k.view(),
            .v = v.view(),
            .o = o.view(),
            .lse = lse.view(),
            .scale = scale};
  }
  /// Copying waits for the work on the default stream.
  void fetch(const Inputs& in) const {
    o.fetch(in.o);
    lse.fetch(in.lse);
  }
};

/// A poisoned workspace for a plan's forward pass; `args` has its address from then on.
[[nodiscard]] inline Buffer give_workspace(const Plan& plan, ForwardArgs& args) {
  args.workspace_bytes = plan.forward_workspace(args);
  Buffer workspace = hopper().allocate(args.workspace_bytes);
  const std::vector<unsigned char> ones(args.workspace_bytes, 0xFF);
  hopper().copy_in(workspace.get(), ones.data(), ones.size());
  args.workspace = workspace.get();
  return workspace;
}

/// O and LSE against fp64, with the allowances of 16-bit types.
inline void compare(const Inputs& in, const MaskOf& rule) {
  compare_with_fp64(in, rule, 1e-3, 1e-4);
}

}  // namespace attn::test

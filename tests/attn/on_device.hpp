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
  const auto oracle = attention<double>(in, rule);
  const auto plain = attention<float>(in, rule, in.q.view().dtype);
  expect_close("O", in.o, oracle.o, plain.o, 1e-3);
  expect_close("LSE", in.lse, oracle.lse, plain.lse, 1e-4);
}

inline MaskOf rule_of(const BoolMask& mask) {
  return [&mask](std::int64_t, std::int64_t, std::int32_t i, std::int32_t j) { return mask(i, j); };
}

}  // namespace attn::test

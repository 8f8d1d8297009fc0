// SPDX-License-Identifier: Apache-2.0
//
// Problems of the backward pass in the memory of the backend hopper.
#pragma once

#include <cuda_runtime_api.h>

#include "attn/gradients.hpp"
#include "attn/on_device.hpp"

namespace attn::test {

/// A problem on the device, with poisoned outputs and a poisoned workspace.
struct DeviceBackward {
  OnDevice q, k, v, o, d_o, lse, dq, dk, dv;
  Buffer workspace;
  BackwardArgs args;

  DeviceBackward(const Backward& host, const Plan& plan, bool deterministic = true)
      : q(host.in.q),
        k(host.in.k),
        v(host.in.v),
        o(host.in.o),
        d_o(host.d_o),
        lse(host.in.lse),
        dq(host.dq),
        dk(host.dk),
        dv(host.dv) {
    args = host.args();
    args.q = q.view();
    args.k = k.view();
    args.v = v.view();
    args.o = o.view();
    args.d_o = d_o.view();
    args.lse = lse.view();
    args.dq = dq.view();
    args.dk = dk.view();
    args.dv = dv.view();
    args.deterministic = deterministic;
    args.workspace_bytes = plan.backward_workspace(args);
    workspace = hopper().allocate(args.workspace_bytes);
    args.workspace = workspace.get();
    EXPECT_EQ(cudaMemset(args.workspace, 0xFF, args.workspace_bytes), cudaSuccess);
  }
  void fetch(const Backward& host) const {
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    dq.fetch(host.dq);
    dk.fetch(host.dk);
    dv.fetch(host.dv);
  }
};

/// A way to make gradients.
struct BackwardForm {
  const char* name;
  int passes;
  bool deterministic;
};
inline constexpr BackwardForm kBackwardForms[] = {
    {"TwoPasses", 2, true}, {"Ordered", 1, true}, {"Unordered", 1, false}};

/// As RunBackward, on the device.
inline void on_device_by(const BackwardForm& form, const Backward& problem, const BlockMask& mask,
                         const PrepareOptions& given) {
  PrepareOptions options = given;
  options.backward = true;
  options.backward_passes = form.passes;
  const auto plan = hopper().prepare(mask, options);
  const DeviceBackward device(problem, *plan, form.deterministic);
  plan->backward(device.args);
  device.fetch(problem);
}
inline void on_device(const Backward& problem, const BlockMask& mask, const PrepareOptions& given) {
  on_device_by({"Chosen", 0, true}, problem, mask, given);
}

}  // namespace attn::test

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "attn/backend.hpp"
#include "experiments/tensors.hpp"

namespace experiments {

/// All tensors of a call, in a backend's memory. The last ones are there for a backward pass alone.
struct Operands {
  Tensor q, k, v, o, lse;
  Tensor d_o, dq, dk, dv;
  std::optional<float> scale;  ///< 1/√D when absent
  bool deterministic = true;   ///< the gradients
  attn::Buffer workspace;
  std::size_t workspace_bytes = 0;

  [[nodiscard]] attn::ForwardArgs args() const {
    return {.q = q.view,
            .k = k.view,
            .v = v.view,
            .o = o.view,
            .lse = lse.view,
            .scale = scale,
            .workspace = workspace.get(),
            .workspace_bytes = workspace_bytes};
  }
  [[nodiscard]] attn::BackwardArgs backward_args() const {
    return {.q = q.view,
            .k = k.view,
            .v = v.view,
            .o = o.view,
            .d_o = d_o.view,
            .lse = lse.view,
            .dq = dq.view,
            .dk = dk.view,
            .dv = dv.view,
            .scale = scale,
            .deterministic = deterministic,
            .workspace = workspace.get(),
            .workspace_bytes = workspace_bytes};
  }
  [[nodiscard]] bool backward() const noexcept { return d_o.view.data != nullptr; }

  /// The plan's passes can run on these tensors afterwards without memory of its own.
  void reserve_workspace(const attn::Backend& backend, const attn::Plan& plan);
};

/// Room for inputs of these shapes and for their results.
[[nodiscard]] Operands allocate_operands(const attn::Backend& backend, const Inputs& like);

/// Q, K, V and dO from the host.
void copy_in(const attn::Backend& backend, const Inputs& inputs, const Operands& to);

/// Fills O, LSE and the gradients with NaN: what a backend does not write must not pass for its
/// answer.
void poison(const attn::Backend& backend, const Operands& operands);

/// O and LSE on the host.
struct Outputs {
  Tensor o, lse;
};
[[nodiscard]] Outputs copy_out(const attn::Backend& backend, const Operands& from);
/// The same into tensors that are there.
void copy_out(const attn::Backend& backend, const Operands& from, const Outputs& to);
[[nodiscard]] Outputs allocate_outputs(const Inputs& like);

/// dQ, dK and dV on the host.
struct Gradients {
  Tensor dq, dk, dv;
};
[[nodiscard]] Gradients copy_out_gradients(const attn::Backend& backend, const Operands& from);
void copy_out(const attn::Backend& backend, const Operands& from, const Gradients& to);
/// Without elements when the inputs have no dO.
[[nodiscard]] Gradients allocate_gradients(const Inputs& like);

/// A host tensor of this shape and type; its content is not set.
[[nodiscard]] Tensor allocate_like(const Tensor& tensor, const char* name = "a tensor");

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "attn/backend.hpp"
#include "experiments/workload.hpp"

namespace experiments {

/// All tensors of a call, in a backend's memory.
struct Operands {
  Tensor q, k, v, o, lse;

  [[nodiscard]] attn::ForwardArgs args() const {
    return {.q = q.view, .k = k.view, .v = v.view, .o = o.view, .lse = lse.view, .scale = {}};
  }
};

/// Room for inputs of these shapes and for their results.
[[nodiscard]] Operands allocate_operands(const attn::Backend& backend, const Inputs& like);

/// Q, K and V from the host.
void copy_in(const attn::Backend& backend, const Inputs& inputs, const Operands& to);

/// Fills O and LSE with NaN: what a backend does not write must not pass for its answer.
void poison(const attn::Backend& backend, const Operands& operands);

/// O and LSE on the host.
struct Outputs {
  Tensor o, lse;
};
[[nodiscard]] Outputs copy_out(const attn::Backend& backend, const Operands& from);

/// A host tensor of this shape and type; its content is not set.
[[nodiscard]] Tensor allocate_like(const Tensor& tensor);

}  // namespace experiments

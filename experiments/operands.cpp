// SPDX-License-Identifier: Apache-2.0
#include "experiments/operands.hpp"

#include <algorithm>
#include <vector>

namespace experiments {

Operands allocate_operands(const attn::Backend& backend, const Inputs& like) {
  const auto make = [&](const attn::TensorView& view) {
    return allocate(backend, view.dtype, view.shape);
  };
  const auto& q = like.q.view;
  Operands operands;
  operands.q = make(q);
  operands.k = make(like.k.view);
  operands.v = make(like.v.view);
  operands.o = make(q);
  operands.lse = allocate(backend, attn::DType::f32, {q.batch(), q.heads(), q.rows(), 1});
  if (like.d_o.view.data != nullptr) {
    operands.d_o = make(q);
    operands.dq = make(q);
    operands.dk = make(like.k.view);
    operands.dv = make(like.v.view);
  }
  return operands;
}

void copy_in(const attn::Backend& backend, const Inputs& inputs, const Operands& to) {
  backend.copy_in(to.q.view.data, inputs.q.view.data, inputs.q.bytes());
  backend.copy_in(to.k.view.data, inputs.k.view.data, inputs.k.bytes());
  backend.copy_in(to.v.view.data, inputs.v.view.data, inputs.v.bytes());
  if (to.backward()) backend.copy_in(to.d_o.view.data, inputs.d_o.view.data, inputs.d_o.bytes());
}

void poison(const attn::Backend& backend, const Operands& operands) {
  for (const Tensor* tensor :
       {&operands.o, &operands.lse, &operands.dq, &operands.dk, &operands.dv}) {
    if (tensor->view.data == nullptr) continue;
    const std::vector<unsigned char> ones(tensor->bytes(), 0xFF);
    backend.copy_in(tensor->view.data, ones.data(), ones.size());
  }
}

void Operands::reserve_workspace(const attn::Backend& backend, const attn::Plan& plan) {
  std::size_t needed = plan.forward_workspace(args());
  if (backward()) needed = std::max(needed, plan.backward_workspace(backward_args()));
  if (needed <= workspace_bytes) return;
  workspace = backend.allocate(needed);
  workspace_bytes = needed;
}

namespace {

Tensor fetch(const attn::Backend& backend, const Tensor& tensor) {
  Tensor host = allocate_like(tensor);
  backend.copy_out(host.view.data, tensor.view.data, tensor.bytes());
  return host;
}

}  // namespace

Outputs copy_out(const attn::Backend& backend, const Operands& from) {
  return {fetch(backend, from.o), fetch(backend, from.lse)};
}

Gradients copy_out_gradients(const attn::Backend& backend, const Operands& from) {
  return {fetch(backend, from.dq), fetch(backend, from.dk), fetch(backend, from.dv)};
}

Tensor allocate_like(const Tensor& tensor) {
  return allocate(host_backend(), tensor.view.dtype, tensor.view.shape);
}

}  // namespace experiments

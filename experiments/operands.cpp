// SPDX-License-Identifier: Apache-2.0
#include "experiments/operands.hpp"

#include <algorithm>
#include <vector>

namespace experiments {

Operands allocate_operands(const attn::Backend& backend, const Inputs& like) {
  const auto make = [&](const char* name, const attn::TensorView& view) {
    return allocate(backend, view.dtype, view.shape, name);
  };
  const auto& q = like.q.view;
  Operands operands;
  operands.q = make("Q", q);
  operands.k = make("K", like.k.view);
  operands.v = make("V", like.v.view);
  operands.o = make("O", q);
  operands.lse = allocate(backend, attn::DType::f32, {q.batch(), q.heads(), q.rows(), 1}, "LSE");
  if (like.d_o.view.data != nullptr) {
    operands.d_o = make("dO", q);
    operands.dq = make("dQ", q);
    operands.dk = make("dK", like.k.view);
    operands.dv = make("dV", like.v.view);
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
  static const std::vector<unsigned char> ones(std::size_t{8} << 20, 0xFF);
  for (const Tensor* tensor :
       {&operands.o, &operands.lse, &operands.dq, &operands.dk, &operands.dv}) {
    if (tensor->view.data == nullptr) continue;
    auto* const begin = static_cast<unsigned char*>(tensor->view.data);
    for (std::size_t done = 0; done < tensor->bytes(); done += ones.size()) {
      backend.copy_in(begin + done, ones.data(), std::min(ones.size(), tensor->bytes() - done));
    }
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

void fetch(const attn::Backend& backend, const Tensor& from, const Tensor& to) {
  backend.copy_out(to.view.data, from.view.data, from.bytes());
}

}  // namespace

Outputs allocate_outputs(const Inputs& like) {
  const auto& q = like.q.view;
  return {allocate_like(like.q, "O"),
          allocate(host_backend(), attn::DType::f32, {q.batch(), q.heads(), q.rows(), 1}, "LSE")};
}

Gradients allocate_gradients(const Inputs& like) {
  if (like.d_o.view.data == nullptr) return {};
  return {allocate_like(like.q, "dQ"), allocate_like(like.k, "dK"), allocate_like(like.v, "dV")};
}

void copy_out(const attn::Backend& backend, const Operands& from, const Outputs& to) {
  fetch(backend, from.o, to.o);
  fetch(backend, from.lse, to.lse);
}

Outputs copy_out(const attn::Backend& backend, const Operands& from) {
  Outputs to{allocate_like(from.o, "O"), allocate_like(from.lse, "LSE")};
  copy_out(backend, from, to);
  return to;
}

void copy_out(const attn::Backend& backend, const Operands& from, const Gradients& to) {
  fetch(backend, from.dq, to.dq);
  fetch(backend, from.dk, to.dk);
  fetch(backend, from.dv, to.dv);
}

Gradients copy_out_gradients(const attn::Backend& backend, const Operands& from) {
  Gradients to{allocate_like(from.dq, "dQ"), allocate_like(from.dk, "dK"),
               allocate_like(from.dv, "dV")};
  copy_out(backend, from, to);
  return to;
}

Tensor allocate_like(const Tensor& tensor, const char* name) {
  return allocate(host_backend(), tensor.view.dtype, tensor.view.shape, name);
}

}  // namespace experiments

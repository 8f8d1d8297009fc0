// SPDX-License-Identifier: Apache-2.0
#include "experiments/operands.hpp"

#include <vector>

namespace experiments {

Operands allocate_operands(const attn::Backend& backend, const Inputs& like) {
  const auto make = [&](const attn::TensorView& view) {
    return allocate(backend, view.dtype, view.shape);
  };
  const auto& q = like.q.view;
  return {make(q), make(like.k.view), make(like.v.view), make(q),
          allocate(backend, attn::DType::f32, {q.batch(), q.heads(), q.rows(), 1})};
}

void copy_in(const attn::Backend& backend, const Inputs& inputs, const Operands& to) {
  backend.copy_in(to.q.view.data, inputs.q.view.data, inputs.q.bytes());
  backend.copy_in(to.k.view.data, inputs.k.view.data, inputs.k.bytes());
  backend.copy_in(to.v.view.data, inputs.v.view.data, inputs.v.bytes());
}

void poison(const attn::Backend& backend, const Operands& operands) {
  for (const Tensor* tensor : {&operands.o, &operands.lse}) {
    const std::vector<unsigned char> ones(tensor->bytes(), 0xFF);
    backend.copy_in(tensor->view.data, ones.data(), ones.size());
  }
}

Outputs copy_out(const attn::Backend& backend, const Operands& from) {
  const auto fetch = [&](const Tensor& tensor) {
    Tensor host = allocate_like(tensor);
    backend.copy_out(host.view.data, tensor.view.data, tensor.bytes());
    return host;
  };
  return {fetch(from.o), fetch(from.lse)};
}

Tensor allocate_like(const Tensor& tensor) {
  return allocate(host_backend(), tensor.view.dtype, tensor.view.shape);
}

}  // namespace experiments

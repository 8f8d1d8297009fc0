// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "attn/backend.hpp"
#include "attn/tensor.hpp"
#include "experiments/problem.hpp"
#include "reorder/csr.hpp"

namespace experiments {

/// A dense [batch, heads, rows, width] tensor that owns its memory.
struct Tensor {
  attn::Buffer memory;
  attn::TensorView view;

  [[nodiscard]] std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(view.elements()) * attn::size_of(view.dtype);
  }
};

/// A tensor in memory that this backend can use; its content is not set. Throws std::runtime_error
/// with `name`, shape and bytes when the host has not so much memory.
[[nodiscard]] Tensor allocate(const attn::Backend& backend, attn::DType dtype,
                              std::array<std::int64_t, 4> shape, const char* name = "a tensor");

/// A backend whose memory is the host's.
[[nodiscard]] const attn::Backend& host_backend();

/// Q, K, V and, for a backward pass, dO of one problem in the caller's order on the host, with
/// normally distributed elements that depend on the seed alone.
struct Inputs {
  Tensor q, k, v;
  Tensor d_o = {};  ///< without elements when the problem has no backward pass
};
[[nodiscard]] Inputs make_inputs(const Problem& problem, const reorder::CsrView& mask);

/// The element at [b, h, i, d] of a host tensor, widened.
[[nodiscard]] double element(const attn::TensorView& tensor, std::int64_t b, std::int64_t h,
                             std::int64_t i, std::int64_t d) noexcept;

}  // namespace experiments

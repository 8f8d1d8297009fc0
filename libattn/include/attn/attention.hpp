// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "attn/backend.hpp"
#include "attn/block_mask.hpp"
#include "attn/tensor.hpp"

namespace attn {

/// Prepares and runs once: the short way for a script. For repeated calls hold a Plan.
/// Throws what Backend::prepare and Plan::forward throw.
void forward(const ForwardArgs& args, const BlockMask& mask, std::string_view backend_name = "cpu",
             const PrepareOptions& options = {});

/// The same for the gradients. A null workspace is allocated for the call and freed after it, which
/// on a device waits for the call to end. Throws what Backend::prepare and Plan::backward throw.
void backward(const BackwardArgs& args, const BlockMask& mask,
              std::string_view backend_name = "cpu", const PrepareOptions& options = {});

/// Checks what every backend requires of its arguments: shapes, dtypes, head counts, finite scale,
/// mask size. Throws Error{invalid_argument}.
void validate(const ForwardArgs& args, const BlockMask& mask);
void validate(const BackwardArgs& args, const BlockMask& mask);

/// destination[b, h, i, :] = source[b, h, new_to_old[i], :] on the host: Q, K or V into a mask's
/// order. Shapes and dtypes must agree and must not overlap. Throws Error{invalid_argument}.
void gather_rows(const TensorView& source, std::span<const std::int32_t> new_to_old,
                 const TensorView& destination, int threads = 1);

/// destination[b, h, new_to_old[i], :] = source[b, h, i, :]: O and LSE back. Throws as gather_rows.
void scatter_rows(const TensorView& source, std::span<const std::int32_t> new_to_old,
                  const TensorView& destination, int threads = 1);

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "attn/backend.hpp"
#include "attn/tensor.hpp"
#include "mask_shape.hpp"

namespace attn {

/// Throws Error{invalid_argument}.
[[noreturn]] void fail(const std::string& sentence);

/// Throws Error{invalid_argument}, naming the tensor, unless shape and dtype are these and there is
/// memory behind it.
void check_tensor(const char* name, const TensorView& tensor,
                  const std::array<std::int64_t, 4>& shape, DType dtype);

/// Two elements of a result must not share a place.
void check_written(const char* name, const TensorView& tensor);

/// Throws Error{invalid_argument} when the workspace is null, out of line or smaller than `needed`.
void check_workspace(const void* workspace, std::size_t bytes, std::size_t needed);

/// Throws Error{invalid_argument} unless a plan was prepared for the backward pass.
void check_prepared(bool for_backward);

/// Throws Error{unsupported} when another tile than the mask's is asked for of a backend that
/// computes in those alone.
void check_kernel_tile(const char* backend, const PrepareOptions& options, TileShape mask_tile);

/// What attn::validate checks, for a mask that need not be a BlockMask.
void validate(const ForwardArgs& args, const MaskShape& mask);
void validate(const BackwardArgs& args, const MaskShape& mask);

}  // namespace attn

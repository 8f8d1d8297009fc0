// SPDX-License-Identifier: Apache-2.0
//
// What every backend requires of its arguments.
#include "arguments.hpp"

#include <cmath>
#include <optional>

#include "attn/attention.hpp"
#include "attn/error.hpp"

namespace attn {
namespace {

using Shape = std::array<std::int64_t, 4>;

std::string text(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return out + "]";
}

/// What forward and backward read alike.
void check_inputs(const TensorView& q, const TensorView& k, const TensorView& v,
                  const std::optional<float>& scale, const MaskShape& mask) {
  for (std::size_t axis = 0; axis < 4; ++axis) {
    const std::int64_t least = axis == 2 ? 0 : 1;
    if (q.shape[axis] < least) {
      constexpr std::array kNames{"batch", "query head count", "query count", "head_dim"};
      fail(std::string(kNames[axis]) + " is " + std::to_string(q.shape[axis]) + ", but at least " +
           std::to_string(least) + " is needed");
    }
  }
  if (k.heads() < 1 || q.heads() % k.heads() != 0) {
    fail(std::to_string(q.heads()) + " query heads cannot share " + std::to_string(k.heads()) +
         " key heads: the first must be a multiple of the second");
  }
  const Shape keys{q.batch(), k.heads(), mask.n_k, q.width()};
  check_tensor("Q", q, q.shape, q.dtype);
  check_tensor("K", k, keys, q.dtype);
  check_tensor("V", v, keys, q.dtype);
  if (q.rows() != mask.n_q) {
    fail("Q has " + std::to_string(q.rows()) + " rows, but the mask has " +
         std::to_string(mask.n_q) + " queries");
  }
  if (mask.batch != 1 && mask.batch != q.batch()) {
    fail("the mask is for a batch of " + std::to_string(mask.batch) + ", but Q's batch is " +
         std::to_string(q.batch()));
  }
  if (mask.heads != 1 && mask.heads != q.heads()) {
    fail("the mask is for " + std::to_string(mask.heads) + " heads, but Q has " +
         std::to_string(q.heads()));
  }
  if (scale && !std::isfinite(*scale)) {
    fail("the scale is " + std::to_string(*scale) + ", but it must be finite");
  }
}

Shape lse_shape(const TensorView& q) {
  return {q.batch(), q.heads(), q.rows(), 1};
}

}  // namespace

void fail(const std::string& sentence) {
  throw Error(ErrorCode::invalid_argument, sentence);
}

void check_tensor(const char* name, const TensorView& tensor, const Shape& shape, DType dtype) {
  if (tensor.shape != shape) {
    fail(std::string(name) + " has shape " + text(tensor.shape) + ", but " + text(shape) +
         " is needed");
  }
  if (tensor.dtype != dtype) {
    fail(std::string(name) + " is " + std::string(to_string(tensor.dtype)) + ", but " +
         std::string(to_string(dtype)) + " is needed");
  }
  if (tensor.data == nullptr && tensor.elements() != 0) {
    fail(std::string(name) + " has a null data pointer");
  }
}

void check_written(const char* name, const TensorView& tensor) {
  if (tensor.elements() == 0) return;
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if (tensor.shape[axis] > 1 && tensor.strides[axis] == 0) {
      fail(std::string(name) + " is written, but its stride on axis " + std::to_string(axis) +
           " is 0");
    }
  }
}

void check_workspace(const void* workspace, std::size_t bytes, std::size_t needed) {
  if (bytes < needed) {
    fail("the workspace has " + std::to_string(bytes) + " bytes, but " + std::to_string(needed) +
         " are needed");
  }
  if (needed == 0) return;
  if (workspace == nullptr) {
    fail("the workspace is null, but " + std::to_string(needed) + " bytes are needed");
  }
  if (reinterpret_cast<std::uintptr_t>(workspace) % kWorkspaceAlignment != 0) {
    fail("the workspace must lie on a boundary of " + std::to_string(kWorkspaceAlignment) +
         " bytes");
  }
}

void check_kernel_tile(const char* backend, const PrepareOptions& options, TileShape mask_tile) {
  if (!options.kernel_tile || *options.kernel_tile == mask_tile) return;
  throw Error(ErrorCode::unsupported,
              std::string("backend ") + backend + " computes in the mask's own tiles, here " +
                  to_string(mask_tile) + ", not in " + to_string(*options.kernel_tile));
}

void check_prepared(bool for_backward) {
  if (!for_backward) {
    fail("the plan was prepared for the forward pass alone: set PrepareOptions::backward");
  }
}

void validate(const ForwardArgs& args, const MaskShape& mask) {
  check_inputs(args.q, args.k, args.v, args.scale, mask);
  check_tensor("O", args.o, args.q.shape, args.q.dtype);
  check_written("O", args.o);
  if (args.lse.data != nullptr) {
    check_tensor("LSE", args.lse, lse_shape(args.q), DType::f32);
    check_written("LSE", args.lse);
  }
}

void validate(const BackwardArgs& args, const MaskShape& mask) {
  check_inputs(args.q, args.k, args.v, args.scale, mask);
  check_tensor("O", args.o, args.q.shape, args.q.dtype);
  check_tensor("dO", args.d_o, args.q.shape, args.q.dtype);
  check_tensor("LSE", args.lse, lse_shape(args.q), DType::f32);
  check_tensor("dQ", args.dq, args.q.shape, args.q.dtype);
  check_tensor("dK", args.dk, args.k.shape, args.q.dtype);
  check_tensor("dV", args.dv, args.k.shape, args.q.dtype);
  check_written("dQ", args.dq);
  check_written("dK", args.dk);
  check_written("dV", args.dv);
}

void validate(const ForwardArgs& args, const BlockMask& mask) {
  validate(args, MaskShape(mask));
}
void validate(const BackwardArgs& args, const BlockMask& mask) {
  validate(args, MaskShape(mask));
}

}  // namespace attn

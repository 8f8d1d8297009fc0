// SPDX-License-Identifier: Apache-2.0
#include "attn/attention.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "attn/error.hpp"
#include "element.hpp"
#include "order.hpp"
#include "parallel.hpp"

namespace attn {
namespace {

using Shape = std::array<std::int64_t, 4>;

[[noreturn]] void fail(const std::string& sentence) {
  throw Error(ErrorCode::invalid_argument, sentence);
}

std::string text(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return out + "]";
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

/// Two elements of a result must not share a place.
void check_written(const char* name, const TensorView& tensor) {
  if (tensor.elements() == 0) return;
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if (tensor.shape[axis] > 1 && tensor.strides[axis] == 0) {
      fail(std::string(name) + " is written, but its stride on axis " + std::to_string(axis) +
           " is 0");
    }
  }
}

/// Copies rows: place(i, new_to_old[i]) says from which row of the source to which of the
/// destination.
template <class PlaceRows>
void move_rows(const TensorView& source, std::span<const std::int32_t> new_to_old,
               const TensorView& destination, int threads, PlaceRows place) {
  if (source.dtype != destination.dtype) {
    fail("source is " + std::string(to_string(source.dtype)) + ", but destination is " +
         std::string(to_string(destination.dtype)));
  }
  check_tensor("source", source, source.shape, source.dtype);
  check_tensor("destination", destination, source.shape, source.dtype);
  check_written("destination", destination);
  check_permutation(new_to_old, source.rows(), "the row order");

  constexpr std::int64_t kRowsPerTask = 256;
  const std::size_t item = size_of(source.dtype);
  const auto* const from = static_cast<const std::byte*>(source.data);
  auto* const to = static_cast<std::byte*>(destination.data);
  const bool dense_rows = source.strides[3] == 1 && destination.strides[3] == 1;
  const std::int64_t pieces = (source.rows() + kRowsPerTask - 1) / kRowsPerTask;
  const std::int64_t tasks = source.batch() * source.heads() * pieces;
  parallel_for(threads, tasks, [&](std::int64_t task, int) {
    const std::int64_t first = task % pieces * kRowsPerTask;
    const std::int64_t h = task / pieces % source.heads();
    const std::int64_t b = task / pieces / source.heads();
    const std::int64_t last = std::min(first + kRowsPerTask, source.rows());
    for (std::int64_t i = first; i < last; ++i) {
      const auto [source_row, destination_row] =
          place(i, std::int64_t{new_to_old[static_cast<std::size_t>(i)]});
      const std::byte* in = from + row_offset(source, b, h, source_row) * std::ptrdiff_t(item);
      std::byte* out = to + row_offset(destination, b, h, destination_row) * std::ptrdiff_t(item);
      if (dense_rows) {
        std::memcpy(out, in, static_cast<std::size_t>(source.width()) * item);
        continue;
      }
      for (std::int64_t d = 0; d < source.width(); ++d) {
        std::memcpy(out, in, item);
        in += source.strides[3] * std::ptrdiff_t(item);
        out += destination.strides[3] * std::ptrdiff_t(item);
      }
    }
  });
}

}  // namespace

void validate(const ForwardArgs& args, const BlockMask& mask) {
  const Shape& q = args.q.shape;
  for (std::size_t axis = 0; axis < 4; ++axis) {
    const std::int64_t least = axis == 2 ? 0 : 1;
    if (q[axis] < least) {
      constexpr std::array kNames{"batch", "query head count", "query count", "head_dim"};
      fail(std::string(kNames[axis]) + " is " + std::to_string(q[axis]) + ", but at least " +
           std::to_string(least) + " is needed");
    }
  }
  const std::int64_t kv_heads = args.k.heads();
  if (kv_heads < 1 || q[1] % kv_heads != 0) {
    fail(std::to_string(q[1]) + " query heads cannot share " + std::to_string(kv_heads) +
         " key heads: the first must be a multiple of the second");
  }
  check_tensor("Q", args.q, q, args.q.dtype);
  check_tensor("K", args.k, {q[0], kv_heads, mask.n_k(), q[3]}, args.q.dtype);
  check_tensor("V", args.v, {q[0], kv_heads, mask.n_k(), q[3]}, args.q.dtype);
  check_tensor("O", args.o, q, args.q.dtype);
  check_written("O", args.o);
  if (args.lse.data != nullptr) {
    check_tensor("LSE", args.lse, {q[0], q[1], q[2], 1}, DType::f32);
    check_written("LSE", args.lse);
  }
  if (q[2] != mask.n_q()) {
    fail("Q has " + std::to_string(q[2]) + " rows, but the mask has " + std::to_string(mask.n_q()) +
         " queries");
  }
  if (mask.batch() != 1 && mask.batch() != q[0]) {
    fail("the mask is for a batch of " + std::to_string(mask.batch()) + ", but Q's batch is " +
         std::to_string(q[0]));
  }
  if (mask.heads() != 1 && mask.heads() != q[1]) {
    fail("the mask is for " + std::to_string(mask.heads()) + " heads, but Q has " +
         std::to_string(q[1]));
  }
  if (args.scale && !std::isfinite(*args.scale)) {
    fail("the scale is " + std::to_string(*args.scale) + ", but it must be finite");
  }
}

void forward(const ForwardArgs& args, const BlockMask& mask, std::string_view backend_name,
             const PrepareOptions& options) {
  const Backend& chosen = backend(backend_name);
  validate(args, mask);
  chosen.prepare(mask, options)->forward(args);
}

void gather_rows(const TensorView& source, std::span<const std::int32_t> new_to_old,
                 const TensorView& destination, int threads) {
  move_rows(source, new_to_old, destination, threads,
            [](std::int64_t i, std::int64_t old) { return std::pair(old, i); });
}

void scatter_rows(const TensorView& source, std::span<const std::int32_t> new_to_old,
                  const TensorView& destination, int threads) {
  move_rows(source, new_to_old, destination, threads,
            [](std::int64_t i, std::int64_t old) { return std::pair(i, old); });
}

}  // namespace attn

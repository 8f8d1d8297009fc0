// SPDX-License-Identifier: Apache-2.0
#include "attn/attention.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "arguments.hpp"
#include "element.hpp"
#include "order.hpp"
#include "parallel.hpp"

namespace attn {
namespace {

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

void forward(const ForwardArgs& args, const BlockMask& mask, std::string_view backend_name,
             const PrepareOptions& options) {
  const Backend& chosen = backend(backend_name);
  validate(args, mask);
  chosen.prepare(mask, options)->forward(args);
}

void backward(const BackwardArgs& args, const BlockMask& mask, std::string_view backend_name,
              const PrepareOptions& options) {
  const Backend& chosen = backend(backend_name);
  validate(args, mask);
  PrepareOptions with_backward = options;
  with_backward.backward = true;
  const std::unique_ptr<Plan> plan = chosen.prepare(mask, with_backward);
  BackwardArgs complete = args;
  Buffer workspace;
  if (args.workspace == nullptr) {
    complete.workspace_bytes = plan->backward_workspace(args);
    workspace = chosen.allocate(complete.workspace_bytes);
    complete.workspace = workspace.get();
  }
  plan->backward(complete);
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

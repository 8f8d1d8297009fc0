// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attn/block_mask.hpp"

namespace attn {

namespace hopper {
struct PreparedMask;
}

/// Borrowed coordinates of the allowed (query, key) pairs, in any order; a pair may be told twice.
struct CooPattern {
  std::int32_t n_q = 0;
  std::int32_t n_k = 0;
  std::span<const std::int32_t> rows;
  std::span<const std::int32_t> cols;
};

/// A mask that the device builds from a pattern in its own memory: what BlockMask and
/// Backend::prepare do together for the backend `hopper`, without the bits passing through the
/// host. For masks that the device itself makes, or that change from call to call.
///
///     DeviceBlockMask mask;
///     mask.build(pattern, stream);                         // pattern.data is device memory
///     const auto plan = backend("hopper").prepare(mask);
///     plan->forward(args);                                 // args.stream == stream
///     mask.build(changed, stream);                         // the same plan follows
///
/// Owns device memory; remembers nothing of a pattern's address. Not for use by two threads at
/// once. Calls of its plans that are under way on other streams than the one given to `build` must
/// have ended before it.
class DeviceBlockMask {
 public:
  /// Throws Error{no_device} where the backend `hopper` cannot run.
  DeviceBlockMask();
  ~DeviceBlockMask();
  DeviceBlockMask(DeviceBlockMask&&) noexcept;
  DeviceBlockMask& operator=(DeviceBlockMask&&) noexcept;

  /// Reads a dense mask once and keeps lists, and bits of what is neither empty nor full. A matrix
  /// of bytes is read fastest when its data and row stride are multiples of 16.
  ///
  /// The pointers of a pattern are device memory, read by work on `stream` (a cudaStream_t), for
  /// whose end the call waits: the counts come back to the host. Memory that earlier builds left is
  /// used again, so that a build of like size allocates nothing. Beside lists and bits it takes one
  /// byte for each 64 x 128 elements, and for a dense mask one bit an element.
  ///
  /// Throws Error{invalid_argument} for what BlockMask::from_dense refuses, and when the shape
  /// changes while a plan uses the mask; Error{unsupported} for more than 2^31 strips of 64 x 128.
  void build(const DensePattern& pattern, void* stream = nullptr);

  /// The same from CSR; of memory that grows with n_q × n_k there is only that byte a strip. Throws
  /// Error{invalid_mask} for a malformed pattern; the mask then holds nothing, and its plans refuse
  /// to run.
  void build(const CsrPattern& pattern, void* stream = nullptr);

  /// The same from coordinates, which are sorted first.
  void build(const CooPattern& pattern, void* stream = nullptr);

  /// One mask for each batch element and/or head, as BlockMask::stack takes them; all of one shape.
  void build(std::span<const DensePattern> patterns, std::int32_t batch, std::int32_t heads,
             void* stream = nullptr);
  void build(std::span<const CsrPattern> patterns, std::int32_t batch, std::int32_t heads,
             void* stream = nullptr);

  [[nodiscard]] std::int32_t n_q() const noexcept;
  [[nodiscard]] std::int32_t n_k() const noexcept;
  [[nodiscard]] std::int32_t batch() const noexcept;
  [[nodiscard]] std::int32_t heads() const noexcept;

  /// Strips of 64 queries x 128 keys that hold anything, and those of them with bits.
  [[nodiscard]] std::int64_t visited_strips() const noexcept;
  [[nodiscard]] std::int64_t stored_strips() const noexcept;

  /// Device memory held, that for building included.
  [[nodiscard]] std::size_t bytes() const noexcept;

  /// What the backend makes plans from.
  [[nodiscard]] std::shared_ptr<const hopper::PreparedMask> prepared() const;

 private:
  class Builder;
  std::unique_ptr<Builder> builder_;
};

}  // namespace attn

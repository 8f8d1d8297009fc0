// SPDX-License-Identifier: Apache-2.0
//
// The host's side of the forward pass: the kernel for a mask, workspace and launches of each call.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "attn/backend.hpp"
#include "cuda/hopper/device_order.hpp"
#include "cuda/hopper/kernels.hpp"
#include "cuda/hopper/params.hpp"
#include "cuda/hopper/prepared_mask.hpp"
#include "cuda/runtime.hpp"

namespace attn::hopper {

/// Raises the shared-memory limits of all kernels; once a device. Throws Error{device}.
void prepare_forward_kernels();

/// Nothing when some kernel takes these tensors, or a sentence why not.
[[nodiscard]] std::optional<std::string> supports_forward(const ForwardArgs& args);

class ForwardPlan {
 public:
  /// The orders belong to the plan that owns this one. Throws Error{unsupported} where no kernel
  /// computes in `kernel_tile`.
  ForwardPlan(std::shared_ptr<const PreparedMask> mask, const DeviceOrder& q_order,
              const DeviceOrder& kv_order, std::optional<TileShape> kernel_tile,
              int multiprocessors);

  /// Nothing when this plan can run these tensors, or a sentence why not.
  [[nodiscard]] std::optional<std::string> supports(const ForwardArgs& args) const;

  [[nodiscard]] std::size_t workspace(const ForwardArgs& args) const;

  /// Enqueues all kernels of one call; the arguments have been checked, and the workspace if there
  /// is one.
  void run(const ForwardArgs& args) const;

 private:
  /// Of the kernels that sources.cmake lists for a dtype and head_dim the first where nearly every
  /// tile is full, the last for all other masks (figures there), where rows are gathered and where
  /// they are cut; with a `kernel_tile` the one that computes in it. Null: there is none.
  [[nodiscard]] const Kernel* choose_kernel(DType dtype, std::int64_t head_dim) const;

  [[nodiscard]] Cuts cuts_for(const Kernel& kernel) const;

  /// Rows of O in fp32 that the parts of cut items leave in the workspace.
  [[nodiscard]] std::int64_t part_rows(const ForwardArgs& args) const;

  /// The plan's own workspace for calls on this stream, which follow each other. Null when it would
  /// have to be allocated while the stream is being captured.
  [[nodiscard]] void* own_workspace(cudaStream_t stream, std::size_t bytes) const;

  std::shared_ptr<const PreparedMask> mask_;
  const DeviceOrder& q_order_;
  const DeviceOrder& kv_order_;
  Rows rows_;
  std::optional<TileShape> kernel_tile_;
  int multiprocessors_;
  cuda::DeviceArray<Counters> counters_;
  mutable std::atomic<std::uint32_t> calls_{0};
  mutable std::mutex workspaces_mutex_;
  mutable std::map<cudaStream_t, cuda::DeviceArray<std::byte>> workspaces_;
};

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// The host's side of the backward pass: schedules once, workspace and launches each call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attn/backend.hpp"
#include "cuda/hopper/backward_params.hpp"
#include "cuda/hopper/device_order.hpp"
#include "cuda/hopper/prepared_mask.hpp"
#include "cuda/runtime.hpp"

namespace attn::hopper {

/// Raises the shared-memory limits of all kernels; once a device. Throws Error{device}.
void prepare_backward_kernels();

/// Nothing when some kernel takes these tensors, or a sentence why not.
[[nodiscard]] std::optional<std::string> supports_backward(const BackwardArgs& args);

class BackwardPlan {
 public:
  /// `follows`: the mask may be built again under the plan, so its lists are not looked at before a
  /// call. `passes` as in PrepareOptions::backward_passes. The orders belong to the plan that owns
  /// this one.
  BackwardPlan(std::shared_ptr<const PreparedMask> mask, bool follows, int passes,
               const DeviceOrder& q_order, const DeviceOrder& kv_order, int multiprocessors);

  [[nodiscard]] std::size_t workspace(const BackwardArgs& args) const;

  /// Enqueues all kernels of one call; arguments and workspace have been checked.
  void run(const BackwardArgs& args) const;

 private:
  struct Copied;
  struct Workspace;

  /// The items of one pass, longest first; lengths in products of 64 rows by 64 keys.
  struct Items {
    cuda::DeviceArray<BackwardItem> items;
    std::vector<BackwardItem> places;
    std::vector<std::int64_t> lengths;
    std::int64_t total = 0;
  };

  /// From the length of each tile of each mask, [mask][tile].
  [[nodiscard]] Items sort_items(const std::vector<std::int64_t>& lengths,
                                 std::int32_t tiles) const;

  /// Of every strip by column, how many strips of its queries come before it when key tiles are
  /// handed out in the order of key_items_. From where the strips of each column begin.
  void rank_strips(const std::vector<std::int32_t>& offsets);

  /// Whether some call may, of a mask with so many strips.
  [[nodiscard]] bool may_take_one_pass(std::int64_t strips) const;
  /// In an average key tile.
  [[nodiscard]] std::int64_t mean_strips(std::int64_t strips) const;

  /// Whether one pass over keys makes all gradients.
  [[nodiscard]] bool one_pass(const BackwardArgs& args) const;

  /// Some heads of K and V: `width` of the (batch, head) pairs, or of the heads of every batch
  /// where each has a mask of its own.
  [[nodiscard]] PairRange kv_pairs(const BackwardArgs& args, std::int64_t first,
                                   std::int64_t width) const;
  /// Widths of kv_pairs() add up to this.
  [[nodiscard]] std::int64_t kv_repeats(const BackwardArgs& args) const;
  /// The width of one launch: all at once where nothing is copied, else as many as a workspace of
  /// one fp32 dQ (or dK) holds, shared out evenly.
  [[nodiscard]] std::int64_t launch_width(const BackwardArgs& args) const;

  [[nodiscard]] Workspace lay_out(void* memory, const BackwardArgs& args, std::int64_t width) const;

  /// Whether rows are copied while the launch before computes.
  [[nodiscard]] bool copies_ahead(const BackwardArgs& args) const;
  [[nodiscard]] RowCopies copies(const BackwardArgs& args, const Copied& to, const PairRange& q,
                                 const PairRange& kv) const;

  [[nodiscard]] BackwardSchedule schedule(const BackwardArgs& args, const PairRange& pairs) const;

  [[nodiscard]] DeviceMask rows() const;

  std::shared_ptr<const PreparedMask> mask_;
  int passes_;
  const DeviceOrder& q_order_;
  const DeviceOrder& kv_order_;
  int multiprocessors_;
  Items row_items_, key_items_;
  cuda::DeviceArray<std::uint32_t> ranks_;  ///< none where two passes are taken by every call
};

}  // namespace attn::hopper

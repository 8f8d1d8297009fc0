// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "allowed.hpp"
#include "attn/backend.hpp"
#include "cpu/tile_walk.hpp"
#include "order.hpp"

namespace attn::cpu {

/// What `prepare` leaves for the calls of the backend `cpu`.
struct PreparedMask {
  PreparedMask(const BlockMask& block_mask, const PrepareOptions& options);

  BlockMask mask;
  TileWalk walk;
  int threads;
  Order q_order;
  Order kv_order;

  /// The key tiles that any row tile visits, and where each key tile stands among them, or −1.
  std::vector<std::int32_t> used_tiles;
  std::vector<std::int32_t> slot;

  std::optional<TransposedMask> transposed;  ///< for the backward pass
};

/// Floats of packed tensors that a call may hold at once: 128 MiB.
inline constexpr std::size_t kWaveFloats = std::size_t{32} << 20;

}  // namespace attn::cpu

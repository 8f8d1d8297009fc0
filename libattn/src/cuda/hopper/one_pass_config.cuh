// SPDX-License-Identifier: Apache-2.0
//
// All gradients in one pass over keys: five products a step where two passes need seven. An item
// keeps 128 keys, 64 a warpgroup, with their dK and dV, and streams 64 queries a step past them:
//
//     St = K Qt, dPt = V dOt, dV += Pt dO, dK += dSt Q     each warpgroup for its own keys
//     dQ = dS K                                            each for its half of the columns
//
// dQ of a step goes to the sums of its queries in the workspace (DqSums), by way of shared memory
// and a bulk reduction. Barriers of a CTA, with who arrives and who waits:
//
//     wanted               the loading thread      the finding thread, for the next item
//     found                the finding thread      the loading thread
//     k_full, v_full       the loading thread      all computing warps
//     k_empty, v_empty     all computing warps     the loading thread
//     step_full            the loading thread      all computing warps, for Q and dO
//     step_empty           all computing warps     the loading thread
//     ds_full              all computing warps     all computing warps, for dS of the others
//     dq_full[n % 2]       all computing warps     one of two adding threads, for dQ of step n
//     dq_empty             that adding thread      all computing warps
//
// In ordered calls an adding thread also waits for the items before its own. They have begun, as
// items are handed out in the order of the additions, and the first of those under way waits for
// nobody.
#pragma once

#include "cuda/hopper/backward_config.cuh"

namespace attn::hopper {

template <class T, int kDim, int kRing>
struct OnePassConfig : BackwardShape<T, kDim, kRing> {
  /// At head_dim 128 the sums leave no room for K and V in registers.
  static constexpr bool kKeysInRegisters = kDim == 64;

  /// Whether waits end with a vote (wait_warp): at head_dim 64 votes cost more than they save.
  static constexpr bool kVotes = kDim == 128;

  /// Places for the turns of steps: one may be loaded kStages + 2 steps after the one whose dQ is
  /// being added, and two stand behind the last.
  static constexpr std::uint32_t kDqTurns = 16;
  static_assert(kRing + 4 < kDqTurns);

  static constexpr int kDqColumns = kDim / 2;               ///< of a warpgroup
  static constexpr int kDqFloats = kQuadrant * kDqColumns;  ///< of a step
};

/// Where a step's dQ goes. The loading thread tells the adding threads.
struct alignas(8) DqTurn {
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;  ///< the stream is over

  std::uint32_t place;
  std::uint32_t rank;
};

/// What the loading thread tells of a step.
struct alignas(8) StepRecord {
  std::uint32_t flags;  ///< two bits a key block, its QuadrantState, and what follows
  std::uint32_t bits;   ///< place of the strip's bits
};
inline constexpr std::uint32_t kStepRuns = 16;  ///< it has tiles
inline constexpr std::uint32_t kStepLast = 32;  ///< of its item
inline constexpr std::uint32_t kStepEnd = 64;   ///< no step: the stream is over

template <class Config>
struct OnePassStorage {
  using Tile = std::uint16_t[Config::kTileElements];

  /// K of item n is at n % 2 and V at the other: K of the next one comes where this V has been,
  /// which is done with first.
  alignas(1024) Tile keys[2][Config::kGroups];
  alignas(1024) Tile q[Config::kStages];
  alignas(1024) Tile d_o[Config::kStages];
  /// dS of two steps as rows of keys, [128][64], swizzled; at the end of an item the place where dK
  /// and dV are staged.
  alignas(1024) std::uint16_t ds[2][kBackwardRows * kQuadrant];
  alignas(1024) float dq[Config::kGroups][Config::kDqFloats];  ///< halves of a place of DqSums
  alignas(128) float lse_log2[Config::kStages][kQuadrant];
  alignas(128) float delta[Config::kStages][kQuadrant];
  StepRecord step[Config::kStages];
  BackwardItemInfo found_item, item;
  DqTurn dq_turn[Config::kDqTurns];
  std::uint64_t wanted, found;
  std::uint64_t k_full, k_empty, v_full, v_empty;
  std::uint64_t step_full[Config::kStages], step_empty[Config::kStages];
  std::uint64_t ds_full;
  std::uint64_t dq_full[2], dq_empty;
};

}  // namespace attn::hopper

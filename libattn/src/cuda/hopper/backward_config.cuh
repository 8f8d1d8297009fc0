// SPDX-License-Identifier: Apache-2.0
//
// The two passes of the gradients are one kernel, compiled twice. A pass keeps 64 rows a warpgroup
// and their gradient in place and streams 64 rows of the other side past them:
//
//                  stays (A1, A2)   passes by (B1, B2)   sums up
//     over rows    Q, dO            K, V                 dQ = dS K
//     over keys    K, V             Q, dO                dK = dSt Q,  dV = Pt dO
//
// In both S' = A1 B1t and dP' = A2 B2t (the second pass sees them transposed), and the first sum is
// dS' B1. Nothing is summed across CTAs: the result has the same bits on every run.
//
// Shared memory of a CTA, in tiles of 64 rows: [head_dim / 64][64 rows][64], rows of 128 bytes
// swizzled by TMA as in pipeline.cuh.
#pragma once

#include "cuda/hopper/backward_params.hpp"
#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

enum class Pass { rows, keys };

/// What a warpgroup has to do in a step, and the place of its bits.
struct StepInfo {
  std::uint32_t flags;
  std::uint32_t bits;
};

template <class T, int kDim, Pass kWhich, int kRing, int kItems, bool kInRegisters>
struct BackwardConfig {
  using Element = T;
  static constexpr int kHeadDim = kDim;
  static constexpr bool kOverKeys = kWhich == Pass::keys;
  static constexpr int kGroups = kBackwardRows / kQuadrant;
  static constexpr int kStages = kRing;
  static constexpr int kItemSlots = kItems;
  static constexpr bool kStationaryInRegisters = kInRegisters;
  static constexpr int kThreads = 128 * (kGroups + 1);

  // 504 registers a lane of four warps: the kernel is compiled for 168 a thread, and together no
  // more may be taken. dK and dV at head_dim 128 need all that the loading thread can miss.
  static constexpr int kLoadRegisters = kOverKeys && kDim == 128 ? 24 : 40;
  static constexpr int kComputeRegisters = kOverKeys && kDim == 128 ? 240 : 232;
  static_assert(kLoadRegisters + 2 * kComputeRegisters <= 504,
                "warpgroups would wait for registers for ever");
  static constexpr int kPanels = kDim / kPanel;
  static constexpr int kTileElements = kQuadrant * kDim;
  static constexpr std::uint32_t kTileBytes = kTileElements * 2;

  /// The strip of a step over keys comes along with its tiles, where there is room for it.
  static constexpr bool kBitsInShared = kOverKeys && kDim == 64;

  static_assert(kGroups == 2, "a strip of the mask has two key blocks, one a warpgroup");
};

template <class Config>
struct BackwardStorage {
  using Tile = std::uint16_t[Config::kTileElements];

  alignas(1024) Tile a1[Config::kItemSlots][Config::kGroups];  ///< later the staging place of
  alignas(1024) Tile a2[Config::kItemSlots][Config::kGroups];  ///< what is written
  alignas(1024) Tile b1[Config::kStages];
  alignas(1024) Tile b2[Config::kStages];
  // Of the pass over keys: what belongs to the 64 queries of a step, and the strip's bits.
  alignas(128) float lse_log2[Config::kStages][Config::kOverKeys ? kQuadrant : 1];
  alignas(128) float delta[Config::kStages][Config::kOverKeys ? kQuadrant : 1];
  alignas(128) std::uint32_t bits[Config::kStages][Config::kBitsInShared ? kStripWords : 1];
  std::uint64_t item_full[Config::kItemSlots], item_empty[Config::kItemSlots];
  std::uint64_t step_full[Config::kStages], step_empty[Config::kStages];
  ItemInfo item[Config::kItemSlots];
  StepInfo step[Config::kStages][Config::kGroups];
};

}  // namespace attn::hopper

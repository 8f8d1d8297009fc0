// SPDX-License-Identifier: Apache-2.0
//
// What a kernel is compiled for: one line of sources.cmake.
#pragma once

#include <type_traits>

#include "cuda/hopper/params.hpp"
#include "cuda/hopper/pipeline.cuh"

namespace attn::hopper {

template <class T, int kDim, int kN, int kWarpgroups, int kRing, int kItems,
          Rows kFrom = Rows::stand, bool kCut = false>
struct ForwardConfig {
  using Element = T;
  static constexpr int kHeadDim = kDim;
  static constexpr int kBlockN = kN;
  static constexpr int kGroups = kWarpgroups;
  static constexpr int kBlockM = 64 * kWarpgroups;
  static constexpr int kStages = kRing;
  static constexpr int kItemSlots = kItems;
  static constexpr bool kOverlapItems = kWarpgroups == 2 || kN == 64;
  static constexpr Rows kRows = kFrom;
  static constexpr bool kGathers = kRows == Rows::gathered;
  static constexpr bool kCuts = kCut;  ///< items may be parts of rows (cuts.hpp)
  /// With two warpgroups ptxas has no register to spare for so much as a call.
  static constexpr bool kCanGather = kWarpgroups == 3;
  static constexpr bool kCanCut = kWarpgroups == 3 && kRows != Rows::in_boxes;
  /// The loading warp tells where the rows of an item stand. Else the warpgroups look it up, for
  /// which ptxas finds the registers.
  static constexpr bool kTellsRows = kRows == Rows::in_boxes && kWarpgroups == 3;
  /// And where O and LSE of its head begin; else the warpgroups work that out, for want of
  /// registers.
  static constexpr bool kTellsPlaces =
      kDim == 64 && std::is_same_v<T, __nv_bfloat16> && !(kCut && kFrom == Rows::stand);
  /// Whether each warp gives back the tiles that it has read. Of one kernel ptxas serialises the
  /// wgmmas then; there one thread does it for its warpgroup, behind a barrier.
  static constexpr bool kWarpsRelease =
      kArrivals != 1 || kDim == 128 || kFrom != Rows::in_boxes || std::is_same_v<T, __nv_bfloat16>;
  /// Arrivals by which a warpgroup does so.
  static constexpr unsigned kReleases = kWarpsRelease ? 4 * kArrivals : 1;
  template <Rows kOther, bool kOtherCut>
  using With = ForwardConfig<T, kDim, kN, kWarpgroups, kRing, kItems, kOther, kOtherCut>;
  static constexpr int kThreads = 128 * (kWarpgroups + 1);
  static constexpr int kKeyBlocks = kBlockN / kQuadrant;

  // 65,536 registers: one warpgroup loads, the others compute.
  static constexpr int kLoadRegisters = kWarpgroups == 2 ? 24 : 32;
  static constexpr int kComputeRegisters = kWarpgroups == 2 ? 240 : 160;

  static_assert(kHeadDim % kPanel == 0, "rows of Q, K, V are whole 128-byte panels");
  static_assert(kBlockN == 64 || kBlockN == kStripKeys, "a step is a tile or half of one");
  static_assert(!kGathers || kCanGather, "a kernel that cannot gather is not asked to");
  static_assert(!kCuts || kCanCut, "a kernel that cannot take parts of rows is not asked to");
  static_assert(kWarpgroups == 2 || kWarpgroups == 3, "two or three warpgroups compute");
};

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// Where the steps of an item come from. The loading warp makes a source for every item and calls
// `next` until it says no; everything behind it (loads, softmax, epilogue) knows only the steps.
// Another way to walk a mask is another class with these two members, passed to
// forward_kernel<Config, Steps>: a dense one counts key tiles up and calls every quadrant full, a
// naive one calls every quadrant partial, a scan of binary flags loops inside `next`.
#pragma once

#include <concepts>

#include "cuda/hopper/params.hpp"

namespace attn::hopper {

/// State of query block `group`, key block `block` of a step.
__device__ __forceinline__ std::uint32_t quadrant(std::uint32_t key, int group, int block) {
  return (key >> (kKeyTileBits + 2 * (2 * group + block))) & 3U;
}
/// Its bits in a key.
__device__ __forceinline__ constexpr std::uint32_t quadrant_mask(int group, int block) {
  return 3U << (kKeyTileBits + 2 * (2 * group + block));
}
__device__ __forceinline__ std::int32_t key_tile(std::uint32_t key) {
  return static_cast<std::int32_t>(key & ((1U << kKeyTileBits) - 1));
}

/// 1 when the strip of query block `group` is stored, else 0 (params.hpp).
__device__ __forceinline__ std::uint32_t is_stored(std::uint32_t key, int group) {
  return (quadrant(key, group, 0) | quadrant(key, group, 1)) >> 1;
}
/// Those of all query blocks, that of block g at bit 4 g.
__device__ __forceinline__ std::uint32_t stored_strips(std::uint32_t key) {
  return (key >> (kKeyTileBits + 1) | key >> (kKeyTileBits + 3)) & 0x111U;
}

/// A source is made and called by all 32 lanes of the loading warp, which must all get the same
/// answer. An item has at least one step, of which every quadrant may be empty; its Q is loaded in
/// any case. Steps may come in any order, with each key tile at most once.
template <class Steps>
concept StepSource = std::constructible_from<Steps, const ForwardParams&, const WorkItem&> &&
    requires(Steps& steps, TileEntry& step) {
  { steps.next(step) } -> std::same_as<bool>;
};

/// The lists of the prepared mask, read one entry ahead.
class ListedSteps {
 public:
  __device__ __forceinline__ ListedSteps(const ForwardParams& p, const WorkItem& item)
      : entry_(reinterpret_cast<const uint2*>(p.mask.tiles) + item.first_tile),
        left_(item.n_tiles),
        ahead_(__ldg(entry_)) {}

  __device__ __forceinline__ bool next(TileEntry& step) {
    if (left_ == 0) return false;
    step = {ahead_.x, ahead_.y};
    ++entry_;
    if (--left_ != 0) ahead_ = __ldg(entry_);
    return true;
  }

 private:
  const uint2* entry_;
  std::int32_t left_;
  uint2 ahead_;
};

}  // namespace attn::hopper

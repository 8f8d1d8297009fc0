// SPDX-License-Identifier: Apache-2.0
//
// From a number handed out by the counter to a place in the list of items (with cut ones, of their
// parts and them: cuts.hpp), and from an item to (batch, head).
#pragma once

#include "cuda/hopper/params.hpp"

namespace attn::hopper {

struct Place {
  std::int32_t batch;
  std::int32_t head;
};

/// The r-th (batch, head) pair that uses mask `mask`.
__device__ __forceinline__ Place place_of(const ForwardParams& p, std::int32_t mask,
                                          std::int32_t r) {
  const DeviceMask& m = p.mask;
  const auto use = static_cast<std::uint32_t>(r);
  if (m.batch == 1 && m.heads == 1) {
    const std::uint32_t batch = use / static_cast<std::uint32_t>(p.heads);
    return {static_cast<std::int32_t>(batch), r - static_cast<std::int32_t>(batch) * p.heads};
  }
  const std::int32_t shared_heads = m.heads == 1 ? p.heads : 1;
  Place place{mask / m.heads, mask % m.heads};
  if (m.batch == 1) place.batch = r / shared_heads;
  if (m.heads == 1) place.head = r % shared_heads;
  return place;
}

/// Work w: heavy items of all heads first, then the light ones by groups of `head_group` heads, the
/// last of them wider where `last_group` says so. Long items first keeps the tail short; few heads
/// at a time keep K and V in L2.
__device__ __forceinline__ void split_work(const ForwardParams& p, std::uint32_t w,
                                           std::int32_t& place, std::int32_t& repeat) {
  const auto repeats = static_cast<std::uint32_t>(p.repeats);
  const std::uint32_t heavy = static_cast<std::uint32_t>(p.mask.heavy_items) * repeats;
  if (w < heavy) {
    place = static_cast<std::int32_t>(w / repeats);
    repeat = static_cast<std::int32_t>(w % repeats);
    return;
  }
  const auto light = static_cast<std::uint32_t>(p.mask.n_items - p.mask.heavy_items);
  const auto width = static_cast<std::uint32_t>(p.head_group);
  const std::uint32_t last = (repeats - static_cast<std::uint32_t>(p.last_group)) / width;
  const std::uint32_t group = min((w - heavy) / (light * width), last);
  const std::uint32_t rest = w - heavy - group * light * width;
  const std::uint32_t here = group == last ? repeats - last * width : width;
  place = p.mask.heavy_items + static_cast<std::int32_t>(rest / here);
  repeat = static_cast<std::int32_t>(group * width + rest % here);
}

}  // namespace attn::hopper

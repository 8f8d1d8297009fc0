// SPDX-License-Identifier: Apache-2.0
//
// The kernel behind a forward with cut rows: joins the parts of each in their order, so that the
// bits are the same on every run, and writes O and LSE of the whole row.
#pragma once

#include "cuda/hopper/config.cuh"
#include "cuda/hopper/cuts.hpp"
#include "cuda/hopper/params.hpp"
#include "cuda/hopper/ptx.cuh"
#include "cuda/hopper/schedule.cuh"

namespace attn::hopper {

inline constexpr int kMergeThreads = 256;

/// Each thread writes 8 columns of a row: 16 bytes.
template <class Config>
inline constexpr int kMergeThreadsPerTile = Config::kBlockM* Config::kHeadDim / 8;

/// With s the sum of a part's weights, LSE = log s and O is divided by s: so the O of a part weighs
/// exp(LSE - the largest LSE). A part with LSE -inf has no key of the row, and its O may never have
/// been written. What is not finite in another makes the row so, and finish.cuh answers it again.
template <class Config>
__global__ void __launch_bounds__(kMergeThreads)
    merge_kernel(const __grid_constant__ ForwardParams p) {
  using Element = typename Config::Element;
  constexpr int kDim = Config::kHeadDim;
  constexpr int kChunks = kDim / 8;
  const std::int64_t index = std::int64_t{blockIdx.x} * kMergeThreads + threadIdx.x;
  const std::int64_t tile = index / kMergeThreadsPerTile<Config>;
  const auto cut = static_cast<std::int32_t>(tile / p.repeats);
  const auto repeat = static_cast<std::int32_t>(tile % p.repeats);
  if (cut >= p.cuts.items[0]) return;
  const WorkItem item = p.mask.items[cut];
  const auto row = static_cast<std::int32_t>(index / kChunks % Config::kBlockM);
  const auto chunk = static_cast<std::int32_t>(index % kChunks);
  const std::int32_t i = item.row_tile * Config::kBlockM + row;
  if (i >= p.n_q) return;

  const std::int32_t begin = first_place(p.cuts, cut);
  const std::int32_t end = first_place(p.cuts, cut + 1);
  const auto row_of_part = [&](std::int32_t place) {
    return (std::int64_t{place} * p.repeats + repeat) * Config::kBlockM + row;
  };
  float largest = -INFINITY;
  for (std::int32_t c = begin; c < end; ++c) largest = fmaxf(largest, p.parts.lse[row_of_part(c)]);
  float sum = 0;
  float o[8] = {};
  for (std::int32_t c = begin; c < end; ++c) {
    const std::int64_t from = row_of_part(c);
    const float lse = p.parts.lse[from];
    if (lse == -INFINITY) continue;
    const float weight = __expf(lse - largest);
    const auto* const values = reinterpret_cast<const float4*>(p.parts.o + from * kDim) + chunk * 2;
    const float4 low = values[0];
    const float4 high = values[1];
    sum += weight;
    o[0] += weight * low.x;
    o[1] += weight * low.y;
    o[2] += weight * low.z;
    o[3] += weight * low.w;
    o[4] += weight * high.x;
    o[5] += weight * high.y;
    o[6] += weight * high.z;
    o[7] += weight * high.w;
  }
  float finite = 0;
  for (float& value : o) {
    value = sum == 0 ? 0.0F : value / sum;
    finite += value * 0.0F;
  }
  if (finite != 0) p.counters->redo = 1;

  const Place place = place_of(p, item.mask, repeat);
  const std::int64_t to = p.mask.q_order == nullptr ? i : p.mask.q_order[i];
  auto* const out = static_cast<std::uint16_t*>(p.o) + place.batch * p.o_strides.batch +
                    place.head * p.o_strides.head + to * p.o_strides.row;
  reinterpret_cast<uint4*>(out)[chunk] = {
      ptx::pack<Element>(o[0], o[1]), ptx::pack<Element>(o[2], o[3]),
      ptx::pack<Element>(o[4], o[5]), ptx::pack<Element>(o[6], o[7])};
  if (p.lse != nullptr && chunk == 0) {
    p.lse[place.batch * p.lse_strides.batch + place.head * p.lse_strides.head +
          to * p.lse_strides.row] = sum == 0 ? -INFINITY : largest + __logf(sum);
  }
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// The loading thread of a backward pass: stationary tiles of an item ahead of the steps that need
// them, steps as fast as the ring lets it.
#pragma once

#include "cuda/hopper/backward_config.cuh"
#include "cuda/hopper/mask.cuh"
#include "cuda/hopper/steps.cuh"

namespace attn::hopper {

template <class Config>
class BackwardLoader {
 public:
  __device__ BackwardLoader(const BackwardParams& p, BackwardStorage<Config>& shared)
      : p_(p), shared_(shared), schedule_(Config::kOverKeys ? p.keys : p.rows) {}

  __device__ void run() {
    std::uint32_t work = blockIdx.x;
    while (work < schedule_.work_count) {
      const std::uint32_t taken = atomicAdd(&p_.state->next_item[Config::kOverKeys ? 1 : 0], 1U);
      load_item(work);
      work = gridDim.x + taken;
    }
    open_step();
    for (StepInfo& info : shared_.step[turn_.slot]) info = {kEnd, 0};
    arrive(shared_.step_full[turn_.slot]);
  }

 private:
  /// Heavy items of all heads first, then the others by groups of heads.
  __device__ void split_work(std::uint32_t work, std::int32_t& item, std::int32_t& repeat) const {
    const auto repeats = static_cast<std::uint32_t>(schedule_.repeats);
    const std::uint32_t heavy = static_cast<std::uint32_t>(schedule_.heavy_items) * repeats;
    if (work < heavy) {
      item = static_cast<std::int32_t>(work / repeats);
      repeat = static_cast<std::int32_t>(work % repeats);
      return;
    }
    const auto light = static_cast<std::uint32_t>(schedule_.n_items - schedule_.heavy_items);
    const auto width = static_cast<std::uint32_t>(schedule_.head_group);
    const std::uint32_t group = (work - heavy) / (light * width);
    const std::uint32_t rest = (work - heavy) % (light * width);
    const std::uint32_t here = min(width, repeats - group * width);
    item = schedule_.heavy_items + static_cast<std::int32_t>(rest / here);
    repeat = static_cast<std::int32_t>(group * width + rest % here);
  }

  __device__ void load_item(std::uint32_t work) {
    std::int32_t index = 0;
    std::int32_t repeat = 0;
    split_work(work, index, repeat);
    const BackwardItem item = schedule_.items[index];
    const bool shared_batch = p_.mask.batch == 1;
    const std::int32_t batch = shared_batch ? repeat / schedule_.heads : item.batch;
    const std::int32_t head = shared_batch ? repeat % schedule_.heads : repeat;

    item_ = {item.tile, batch, head};
    opens_ = kOpens;
    if constexpr (Config::kOverKeys) {
      for (std::int32_t h = head * p_.group; h < (head + 1) * p_.group; ++h) {
        walk_column(item.tile, batch, h);
      }
    } else {
      walk_row(item.tile, batch, head);
    }
    if (opens_ != 0) {  // nothing to do but to write zeros
      open_step();
      for (StepInfo& info : shared_.step[turn_.slot]) info = {kOpens, 0};
      arrive(shared_.step_full[turn_.slot]);
      close_step();
    }
  }

  /// The stationary tiles of `item_`. They come after the item's first step, because a warpgroup
  /// gives back the tiles of an item only when it has seen that step.
  __device__ void load_stationary() {
    wait(shared_.item_empty[item_turn_.slot], item_turn_.parity ^ 1);
    std::uint64_t& full = shared_.item_full[item_turn_.slot];
    shared_.item[item_turn_.slot] = item_;
    arrive_expecting(full, 2 * Config::kGroups * Config::kTileBytes);
    for (int g = 0; g < Config::kGroups; ++g) {
      const std::int32_t row = item_.row_tile * kBackwardRows + g * kQuadrant;
      load_tile(Config::kOverKeys ? p_.k_map : p_.q_map, shared_.a1[item_turn_.slot][g], full, row,
                item_.head, item_.batch);
      load_tile(Config::kOverKeys ? p_.v_map : p_.d_o_map, shared_.a2[item_turn_.slot][g], full,
                row, item_.head, item_.batch);
    }
    item_turn_.advance();
  }

  __device__ std::int64_t mask_of(std::int32_t batch, std::int32_t head) const {
    return std::int64_t{p_.mask.batch == 1 ? 0 : batch} * p_.mask.heads +
           (p_.mask.heads == 1 ? 0 : head);
  }

  __device__ void walk_row(std::int32_t tile, std::int32_t batch, std::int32_t head) {
    const DeviceMask& m = p_.mask;
    const WorkItem row = m.rows[mask_of(batch, head) * m.row_tiles + tile];
    if (row.n_tiles == 0) return;
    const auto* entry = reinterpret_cast<const uint2*>(m.tiles) + row.first_tile;
    uint2 ahead = __ldg(entry);
    for (std::int32_t j = 0; j < row.n_tiles; ++j) {
      const uint2 now = ahead;
      if (j + 1 < row.n_tiles) ahead = __ldg(++entry);
      for (int c = 0; c < kStripKeys / kQuadrant; ++c) {
        std::uint32_t states[Config::kGroups];
        std::uint32_t any = 0;
        for (int g = 0; g < Config::kGroups; ++g) any |= states[g] = quadrant(now.x, g, c);
        if (any == kEmpty) continue;
        open_step();
        std::uint32_t strip = now.y;
        for (int g = 0; g < Config::kGroups; ++g) {
          describe(g, states[g], strip * 2 + static_cast<std::uint32_t>(c));
          strip += is_stored(now.x, g);
        }
        const std::int32_t row_of_b = key_tile(now.x) * kStripKeys + c * kQuadrant;
        std::uint64_t& full = shared_.step_full[turn_.slot];
        arrive_expecting(full, 2 * Config::kTileBytes);
        load_tile(p_.k_map, shared_.b1[turn_.slot], full, row_of_b, head / p_.group, batch);
        load_tile(p_.v_map, shared_.b2[turn_.slot], full, row_of_b, head / p_.group, batch);
        close_step();
      }
    }
  }

  __device__ void walk_column(std::int32_t tile, std::int32_t batch, std::int32_t head) {
    const DeviceColumns& m = p_.columns;
    const std::int64_t column = mask_of(batch, head) * m.key_tiles + tile;
    const std::int32_t begin = __ldg(m.offsets + column);
    const std::int32_t end = __ldg(m.offsets + column + 1);
    if (begin == end) return;
    const auto* const entries = reinterpret_cast<const uint2*>(m.strips);
    const std::int64_t stats = (std::int64_t{batch} * p_.heads + head) * p_.padded_q;
    // Last queries first; any order would be right.
    uint2 ahead = __ldg(entries + end - 1);
    for (std::int32_t j = end - 1; j >= begin; --j) {
      const uint2 now = ahead;
      if (j > begin) ahead = __ldg(entries + j - 1);
      open_step();
      for (int g = 0; g < Config::kGroups; ++g) {
        describe(g, (now.x >> (kKeyTileBits + 2 * g)) & 3U, now.y);
      }
      const std::int32_t row =
          static_cast<std::int32_t>(now.x & ((1U << kKeyTileBits) - 1)) * kQuadrant;
      const bool bits_too = Config::kBitsInShared && now.y != kNoBits;
      std::uint64_t& full = shared_.step_full[turn_.slot];
      constexpr std::uint32_t kStatBytes = kQuadrant * sizeof(float);
      constexpr std::uint32_t kBitBytes = kStripWords * sizeof(std::uint32_t);
      arrive_expecting(full, 2 * Config::kTileBytes + 2 * kStatBytes + (bits_too ? kBitBytes : 0));
      load_tile(p_.q_map, shared_.b1[turn_.slot], full, row, head, batch);
      load_bytes(shared_.lse_log2[turn_.slot], p_.lse_log2 + stats + row, kStatBytes, full);
      if (bits_too) {
        load_bytes(shared_.bits[turn_.slot], m.bits + std::int64_t{now.y} * kStripWords, kBitBytes,
                   full);
      }
      load_tile(p_.d_o_map, shared_.b2[turn_.slot], full, row, head, batch);
      load_bytes(shared_.delta[turn_.slot], p_.delta + stats + row, kStatBytes, full);
      close_step();
    }
  }

  __device__ void open_step() { wait(shared_.step_empty[turn_.slot], turn_.parity ^ 1); }
  __device__ void close_step() {
    turn_.advance();
    if (opens_ != 0) load_stationary();
    opens_ = 0;
  }
  __device__ void describe(int group, std::uint32_t state, std::uint32_t bits) {
    std::uint32_t flags = opens_;
    if (state != kEmpty) flags |= kRun;
    if (state == kPartial) flags |= kMasked;
    shared_.step[turn_.slot][group] = {flags, bits};
  }

  __device__ static void load_tile(const CUtensorMap& map, std::uint16_t* destination,
                                   std::uint64_t& full, std::int32_t row, std::int32_t head,
                                   std::int32_t batch) {
#pragma unroll
    for (int panel = 0; panel < Config::kPanels; ++panel) {
      load_box(map, destination + panel * kQuadrant * kPanel, full, panel * kPanel, row, head,
               batch);
    }
  }
  __device__ static void load_bytes(void* destination, const void* source, std::uint32_t bytes,
                                    std::uint64_t& full) {
    cuda::ptx::cp_async_bulk(cuda::ptx::space_cluster, cuda::ptx::space_global, destination, source,
                             bytes, &full);
  }

  const BackwardParams& p_;
  BackwardStorage<Config>& shared_;
  const BackwardSchedule& schedule_;
  Turn<Config::kItemSlots> item_turn_;
  Turn<Config::kStages> turn_;
  ItemInfo item_{};
  std::uint32_t opens_ = 0;  ///< kOpens until the item has a step
};

}  // namespace attn::hopper

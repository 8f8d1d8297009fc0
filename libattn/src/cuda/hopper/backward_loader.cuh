// SPDX-License-Identifier: Apache-2.0
//
// The thread of a backward kernel that loads the steps, as fast as the ring lets it.
#pragma once

#include "cuda/hopper/backward_config.cuh"
#include "cuda/hopper/mask.cuh"
#include "cuda/hopper/steps.cuh"

namespace attn::hopper {

template <class Config>
class BackwardLoader {
 public:
  __device__ BackwardLoader(const BackwardParams& p, BackwardStorage<Config>& shared)
      : p_(p), shared_(shared) {}

  __device__ void run() {
    for (;;) {
      wait(shared_.item_known[item_turn_.slot], item_turn_.parity);
      const BackwardItemInfo item = shared_.item[item_turn_.slot];
      item_turn_.advance();
      if (item.pass == BackwardItemInfo::kNone) return post(kEnd);
      opens_ = kOpens;
      if (item.over_keys()) {
        opens_ |= kOverKeys;
        for (std::int32_t h = item.head * p_.group; h < (item.head + 1) * p_.group; ++h) {
          walk_column(item, h);
        }
      } else {
        walk_row(item);
      }
      if (opens_ != 0) post(opens_ | kLast);  // nothing to do but to write zeros
    }
  }

 private:
  /// A step without tiles.
  __device__ void post(std::uint32_t flags) {
    open_step();
    for (StepInfo& info : shared_.step[turn_.slot]) info = {flags, 0};
    arrive(shared_.step_full[turn_.slot]);
    close_step();
  }

  __device__ void walk_row(const BackwardItemInfo& item) {
    const auto [first_tile, n_tiles] = row_of(p_, item);
    if (n_tiles == 0) return;
    const auto* entry = reinterpret_cast<const uint2*>(p_.mask.tiles) + first_tile;
    uint2 ahead = __ldg(entry);
    for (std::int32_t j = 0; j < n_tiles; ++j) {
      const uint2 now = ahead;
      if (j + 1 < n_tiles) ahead = __ldg(++entry);
      const std::int32_t tile_key = key_tile(now.x) * kStripKeys;
      const RowBox boxes[2] = {first_box<Config>(p_.kv_rows, tile_key),
                               first_box<Config>(p_.kv_rows, tile_key + kQuadrant)};
#pragma unroll
      for (int c = 0; c < kStripKeys / kQuadrant; ++c) {
        std::uint32_t states[Config::kGroups];
        std::uint32_t any = 0;
        for (int g = 0; g < Config::kGroups; ++g) any |= states[g] = quadrant(now.x, g, c);
        if (any == kEmpty) continue;
        const bool last =
            j + 1 == n_tiles && (c == 1 || (quadrant(now.x, 0, 1) | quadrant(now.x, 1, 1)) == 0);
        open_step();
        std::uint32_t strip = now.y;
        for (int g = 0; g < Config::kGroups; ++g) {
          describe(g, states[g], strip * 2 + static_cast<std::uint32_t>(c), last);
          strip += is_stored(now.x, g);
        }
        std::uint64_t& full = shared_.step_full[turn_.slot];
        arrive_expecting(full, 2 * Config::kTileBytes);
        load_tiles<Config>(p_.kv_rows, boxes[c], {p_.k_map, p_.k_boxes}, shared_.b1[turn_.slot],
                           {p_.v_map, p_.v_boxes}, shared_.b2[turn_.slot], full,
                           tile_key + c * kQuadrant, item.head / p_.group, item.batch);
        close_step();
      }
    }
  }

  __device__ void walk_column(const BackwardItemInfo& item, std::int32_t head) {
    const DeviceColumns& m = p_.columns;
    const std::int32_t* const offset = column_of(p_, item, head);
    const std::int32_t begin = __ldg(offset);
    const std::int32_t end = __ldg(offset + 1);
    if (begin == end) return;
    const auto* const entries = reinterpret_cast<const uint2*>(m.strips);
    const std::int64_t stats = (std::int64_t{item.batch} * p_.heads + head) * p_.padded_q;
    // Last queries first; any order would be right.
    uint2 ahead = __ldg(entries + end - 1);
    RowBox box_ahead = first_box<Config>(p_.q_rows, first_query(ahead));
    for (std::int32_t j = end - 1; j >= begin; --j) {
      const uint2 now = ahead;
      const RowBox box = box_ahead;
      if (j > begin) ahead = __ldg(entries + j - 1);
      const bool last = j == begin && head + 1 == (item.head + 1) * p_.group;
      open_step();
      for (int g = 0; g < Config::kGroups; ++g) {
        describe(g, (now.x >> (kKeyTileBits + 2 * g)) & 3U, now.y, last);
      }
      const std::int32_t row = first_query(now);
      const bool bits_too = Config::kBitsInShared && now.y != kNoBits;
      std::uint64_t& full = shared_.step_full[turn_.slot];
      constexpr std::uint32_t kStatBytes = kQuadrant * sizeof(float);
      constexpr std::uint32_t kBitBytes = kStripWords * sizeof(std::uint32_t);
      arrive_expecting(full, 2 * Config::kTileBytes + 2 * kStatBytes + (bits_too ? kBitBytes : 0));
      load_tiles<Config>(p_.q_rows, box, {p_.q_map, p_.q_boxes}, shared_.b1[turn_.slot],
                         {p_.d_o_map, p_.d_o_boxes}, shared_.b2[turn_.slot], full, row, head,
                         item.batch);
      load_bytes(shared_.lse_log2[turn_.slot], p_.lse_log2 + stats + row, kStatBytes, full);
      if (bits_too) {
        load_bytes(shared_.bits[turn_.slot], m.bits + std::int64_t{now.y} * kStripWords, kBitBytes,
                   full);
      }
      load_bytes(shared_.delta[turn_.slot], p_.delta + stats + row, kStatBytes, full);
      close_step();
      if (j > begin) box_ahead = first_box<Config>(p_.q_rows, first_query(ahead));
    }
  }

  /// Of a strip in the list of its column.
  static __device__ std::int32_t first_query(const uint2& strip) {
    return static_cast<std::int32_t>(strip.x & ((1U << kKeyTileBits) - 1)) * kQuadrant;
  }

  __device__ void open_step() {
    wait(shared_.step_empty[turn_.slot], turn_.parity ^ 1);
  }
  __device__ void close_step() {
    turn_.advance();
    opens_ = 0;
  }
  __device__ void describe(int group, std::uint32_t state, std::uint32_t bits, bool last) {
    std::uint32_t flags = opens_;
    if (state != kEmpty) flags |= kRun;
    if (state == kPartial) flags |= kMasked;
    if (last) flags |= kLast;
    shared_.step[turn_.slot][group] = {flags, bits};
  }

  __device__ static void load_bytes(void* destination, const void* source, std::uint32_t bytes,
                                    std::uint64_t& full) {
    cuda::ptx::cp_async_bulk(cuda::ptx::space_cluster, cuda::ptx::space_global, destination, source,
                             bytes, &full);
  }

  const BackwardParams& p_;
  BackwardStorage<Config>& shared_;
  Turn<Config::kItemSlots> item_turn_;
  Turn<Config::kStages> turn_;
  std::uint32_t opens_ = 0;  ///< kOpens until the item has a step
};

}  // namespace attn::hopper

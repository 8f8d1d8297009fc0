// SPDX-License-Identifier: Apache-2.0
//
// The threads of the one-pass kernel that do not compute: one finds items, one loads, two add dQ to
// the sums.
#pragma once

#include "cuda/hopper/one_pass_config.cuh"

namespace attn::hopper {

/// Draws an item whenever the loading thread nears the end of the one it has, no sooner: an item
/// drawn is one that others may wait for.
template <class Config>
__device__ void find_items(const BackwardParams& p, OnePassStorage<Config>& shared) {
  for (std::uint32_t n = 0;; ++n) {
    wait(shared.wanted, n % 2);
    const std::uint32_t work = atomicAdd(&p.state->next_item, 1U) - p.schedule.drawn;
    const bool over = work >= p.schedule.work_count;
    BackwardItemInfo item{0, 0, 0, BackwardItemInfo::kNone};
    if (!over) {
      item = find_item(p, work);
      warm_column(p, item);
    }
    shared.found_item = item;
    arrive(shared.found);
    if (over) return;
  }
}

template <class Config>
class OnePassLoader {
 public:
  __device__ OnePassLoader(const BackwardParams& p, OnePassStorage<Config>& shared)
      : p_(p), shared_(shared) {}

  __device__ void run() {
    arrive(shared_.wanted);
    for (std::uint32_t n = 0;; ++n) {
      wait(shared_.found, n % 2);
      const BackwardItemInfo item = shared_.found_item;
      if (item.pass == BackwardItemInfo::kNone) return post(kStepEnd);
      left_ = 0;
      for (std::int32_t h = item.head * p_.group; h < (item.head + 1) * p_.group; ++h) {
        const std::int32_t* const offset = column_of(p_, item, h);
        left_ += __ldg(offset + 1) - __ldg(offset);
      }
      steps_ = left_;
      if (left_ == 0) {
        arrive(shared_.wanted);
        load_k(item, n);
        load_v(item, n);
        post(kStepLast);
        continue;
      }
      for (std::int32_t h = item.head * p_.group; h < (item.head + 1) * p_.group; ++h) {
        walk_column(item, h, n);
      }
    }
  }

 private:
  /// A step without tiles.
  __device__ void post(std::uint32_t flags) {
    wait(shared_.step_empty[turn_.slot], turn_.parity ^ 1);
    if (flags == kStepEnd) {
      // For both adding threads.
      for (std::uint32_t n = runs_; n < runs_ + 2; ++n) {
        shared_.dq_turn[n % Config::kDqTurns] = {DqTurn::kNone, 0};
      }
    }
    shared_.step[turn_.slot] = {flags, 0};
    arrive(shared_.step_full[turn_.slot]);
    turn_.advance();
  }

  /// A side of the n-th item: its tile of each warpgroup.
  template <class Tiles>
  __device__ void load_keys(const CUtensorMap& map, Tiles& tiles, std::uint64_t& full,
                            const BackwardItemInfo& item) {
    arrive_expecting(full, Config::kGroups * Config::kTileBytes);
    for (int g = 0; g < Config::kGroups; ++g) {
      load_rows(map, tiles[g], full, item.row_tile * kBackwardRows + g * kQuadrant, item.head,
                item.batch);
    }
  }
  /// Behind the K before, at its place, and once its item's description is read.
  __device__ void load_v(const BackwardItemInfo& item, std::uint32_t n) {
    wait(shared_.k_empty, n % 2 ^ 1);
    shared_.item = item;
    load_keys(p_.v_map, shared_.keys[n % 2 ^ 1], shared_.v_full, item);
  }
  /// Behind the V before, at its place.
  __device__ void load_k(const BackwardItemInfo& item, std::uint32_t n) {
    wait(shared_.v_empty, n % 2 ^ 1);
    load_keys(p_.k_map, shared_.keys[n % 2], shared_.k_full, item);
  }

  __device__ void walk_column(const BackwardItemInfo& item, std::int32_t head, std::uint32_t n) {
    const DeviceColumns& m = p_.columns;
    const std::int32_t* const offset = column_of(p_, item, head);
    const std::int32_t begin = __ldg(offset);
    const std::int32_t end = __ldg(offset + 1);
    if (begin == end) return;
    const auto* const entries = reinterpret_cast<const uint2*>(m.strips);
    const std::int64_t pair = std::int64_t{item.batch} * p_.heads + head;
    const std::int64_t stats = pair * p_.padded_q;
    const auto first_place = static_cast<std::uint32_t>(p_.dq_sums.pairs.place(item.batch, head) *
                                                        p_.dq_sums.row_blocks);
    // Last queries first: neighbouring key tiles, which start together, then seldom come to the
    // same queries at once, which matters where they take turns.
    uint2 ahead = __ldg(entries + end - 1);
    std::uint32_t rank_ahead = __ldg(p_.dq_sums.ranks + end - 1);
    for (std::int32_t j = end - 1; j >= begin; --j) {
      const uint2 now = ahead;
      const std::uint32_t rank = rank_ahead;
      if (j > begin) {
        ahead = __ldg(entries + j - 1);
        rank_ahead = __ldg(p_.dq_sums.ranks + j - 1);
      }
      const std::uint32_t block = now.x & ((1U << kKeyTileBits) - 1);
      const auto row = static_cast<std::int32_t>(block) * kQuadrant;
      if (left_ <= kDrawAhead && !drawn_) {
        arrive(shared_.wanted);
        drawn_ = true;
      }
      --left_;
      wait(shared_.step_empty[turn_.slot], turn_.parity ^ 1);
      const std::uint32_t place = first_place + block;
      DqTurn& turn = shared_.dq_turn[runs_++ % Config::kDqTurns];
      turn.place = place;
      turn.rank = rank;
      shared_.step[turn_.slot] = {now.x >> kKeyTileBits | kStepRuns | (left_ == 0 ? kStepLast : 0),
                                  now.y};
      std::uint64_t& full = shared_.step_full[turn_.slot];
      constexpr std::uint32_t kStatBytes = kQuadrant * sizeof(float);
      arrive_expecting(full, 2 * Config::kTileBytes + 2 * kStatBytes);
      load_rows(p_.q_map, shared_.q[turn_.slot], full, row, head, item.batch);
      load_bytes(p_.lse_log2 + stats + row, shared_.lse_log2[turn_.slot], kStatBytes, full);
      load_rows(p_.d_o_map, shared_.d_o[turn_.slot], full, row, head, item.batch);
      load_bytes(p_.delta + stats + row, shared_.delta[turn_.slot], kStatBytes, full);
      turn_.advance();
      // The first two steps come while the item before still holds its keys.
      const std::int32_t at = steps_ - left_;
      if (at == 1) load_k(item, n);
      if (at == min(steps_, 2)) load_v(item, n);
    }
    if (left_ == 0) drawn_ = false;
  }

  static constexpr std::int32_t kDrawAhead = 3;  ///< steps that hide the look-up of an item

  const BackwardParams& p_;
  OnePassStorage<Config>& shared_;
  Turn<Config::kStages> turn_;
  std::uint32_t runs_ = 0;  ///< steps with tiles
  std::int32_t steps_ = 0;  ///< of the item
  std::int32_t left_ = 0;   ///< of them
  bool drawn_ = false;      ///< the next item has been asked for
};

/// Adds every other dQ that the warpgroups hand over to the sums, from the `first` on. Two threads
/// do so by turns, because an addition takes longer to be through than a step.
template <class Config>
__device__ void add_dq(const BackwardParams& p, OnePassStorage<Config>& shared,
                       std::uint32_t first) {
  const DqSums& sums = p.dq_sums;
  for (std::uint32_t n = first;; n += 2) {
    wait(shared.dq_full[first], n / 2 % 2);
    const DqTurn turn = shared.dq_turn[n % Config::kDqTurns];
    if (turn.place == DqTurn::kNone) {
      arrive(shared.dq_empty);
      break;
    }
    constexpr std::uint32_t kFloats = Config::kGroups * Config::kDqFloats;
    float* const to = sums.sums + std::int64_t{turn.place} * kFloats;
    constexpr std::uint32_t kBytes = kFloats * sizeof(float);
    if (sums.ordered) {
      while (ptx::load_acquire(sums.turns + turn.place) != turn.rank) {
      }
      cuda::ptx::fence_proxy_async();
    }
    if (sums.ordered && turn.rank == 0) {
      cuda::ptx::cp_async_bulk(cuda::ptx::space_global, cuda::ptx::space_shared, to, shared.dq[0],
                               kBytes);
    } else {
      cuda::ptx::cp_reduce_async_bulk(cuda::ptx::space_global, cuda::ptx::space_shared,
                                      cuda::ptx::op_add, to, shared.dq[0], kBytes);
    }
    cuda::ptx::cp_async_bulk_commit_group();
    cuda::ptx::cp_async_bulk_wait_group_read(cuda::ptx::n32_t<0>());
    arrive(shared.dq_empty);
    if (sums.ordered) {
      cuda::ptx::cp_async_bulk_wait_group(cuda::ptx::n32_t<0>());
      // From the bulk engine's writes to those of this thread.
      cuda::ptx::fence_proxy_async();
      ptx::add_release(sums.turns + turn.place, 1);
    }
  }
  cuda::ptx::cp_async_bulk_wait_group(cuda::ptx::n32_t<0>());
}

}  // namespace attn::hopper

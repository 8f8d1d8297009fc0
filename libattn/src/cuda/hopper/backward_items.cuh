// SPDX-License-Identifier: Apache-2.0
//
// The thread of a backward kernel that looks up items and loads their stationary tiles, an item
// ahead of those that need them. Finding an item takes four reads, each of which waits for the one
// before; here nothing waits for them.
#pragma once

#include "cuda/hopper/backward_config.cuh"
#include "cuda/hopper/mask.cuh"

namespace attn::hopper {

template <class Config>
class BackwardItemLoader {
 public:
  __device__ BackwardItemLoader(const BackwardParams& p, BackwardStorage<Config>& shared)
      : p_(p), shared_(shared) {}

  __device__ void run() {
    std::uint32_t work = blockIdx.x;
    while (work < p_.schedule.work_count) {
      const std::uint32_t taken = atomicAdd(&p_.state->next_item, 1U);
      const BackwardItemInfo item = find_item(p_, work);
      warm_lists(item);
      open();
      shared_.item[turn_.slot] = item;
      arrive(shared_.item_known[turn_.slot]);
      load_stationary(item);
      turn_.advance();
      work = gridDim.x + taken - p_.schedule.drawn;
    }
    if constexpr (Config::kRows == Rows::gathered) arrive(shared_.items_over);
    open();
    shared_.item[turn_.slot] = {0, 0, 0, BackwardItemInfo::kNone};
    arrive(shared_.item_known[turn_.slot]);
  }

 private:
  __device__ void open() { wait(shared_.item_empty[turn_.slot], turn_.parity ^ 1); }

  /// Brings what the other loading thread reads first of the item's list to this multiprocessor.
  __device__ void warm_lists(const BackwardItemInfo& item) const {
    if (item.over_keys()) {
      warm_column(p_, item);
    } else {
      ptx::prefetch(p_.mask.tiles + row_of(p_, item).x);
    }
  }

  __device__ void load_stationary(const BackwardItemInfo& item) {
    std::uint64_t& full = shared_.item_full[turn_.slot];
    const bool keys = item.over_keys();
    const OrderedRows& rows = keys ? p_.kv_rows : p_.q_rows;
    const std::int32_t* const order = keys ? p_.dk.order : p_.dq.order;
    const Loaded tensor1{keys ? p_.k_map : p_.q_map, keys ? p_.k_boxes : p_.q_boxes};
    const Loaded tensor2{keys ? p_.v_map : p_.d_o_map, keys ? p_.v_boxes : p_.d_o_boxes};
    const std::int32_t row = item.row_tile * kBackwardRows;
    RowBox first[Config::kGroups];
    for (int g = 0; g < Config::kGroups; ++g) {
      first[g] = first_box<Config>(rows, row + g * kQuadrant);
      if constexpr (Config::kRows == Rows::in_boxes) {
        shared_.rows[turn_.slot][g] = rows.boxes != nullptr ? block_rows(rows, first[g])
                                      : order != nullptr    ? BlockRows{0, 0}
                                                            : BlockRows{row + g * kQuadrant, 1};
      }
    }
    arrive_expecting(full, 2 * Config::kGroups * Config::kTileBytes);
    for (int g = 0; g < Config::kGroups; ++g) {
      load_tiles<Config>(rows, first[g], tensor1, shared_.a1[turn_.slot][g], tensor2,
                         shared_.a2[turn_.slot][g], full, row + g * kQuadrant, item.head,
                         item.batch);
    }
  }

  const BackwardParams& p_;
  BackwardStorage<Config>& shared_;
  Turn<Config::kItemSlots> turn_;
};

}  // namespace attn::hopper

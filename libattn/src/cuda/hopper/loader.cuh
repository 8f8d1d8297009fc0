// SPDX-License-Identifier: Apache-2.0
//
// The warp that loads: takes items from the counter, asks a source of steps (steps.cuh) for their
// tiles, fetches Q, K and V by TMA and tells the warpgroups what each step is.
#pragma once

#include "cuda/hopper/config.cuh"
#include "cuda/hopper/gather_ahead.cuh"
#include "cuda/hopper/ordered_rows.cuh"
#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/schedule.cuh"
#include "cuda/hopper/steps.cuh"

namespace attn::hopper {

template <class Config, StepSource Steps>
class Loader {
 public:
  __device__ Loader(const ForwardParams& p, SharedStorage<Config>& shared)
      : p_(p), shared_(shared), lane_(static_cast<int>(threadIdx.x % 32)) {}

  __device__ void run() {
    // A CTA that gathers comes late: what it computes is not settled before.
    std::uint32_t work = gathers() ? told(ask()) : blockIdx.x;
    Work now{};
    if (work < p_.work_count) now = fetch(work);
    while (work < p_.work_count) {
      const Work item = now;
      // What comes next is asked for in front of an item, told behind its first tile and looked up
      // behind the second, so that no latency stands between two items.
      const std::uint32_t asked = ask();
      int tiles = 0;
      load_item(item, [&] {
        if (tiles == 0) {
          work = told(asked);
          if (work < p_.work_count) now = fetch(work);
        } else if (tiles == 1) {
          ptx::prefetch(p_.mask.tiles + now.item.first_tile);
        }
        ++tiles;
      });
    }
    wait(shared_.k_empty[k_turn_.slot], k_turn_.parity ^ 1);
    if (lane_ == 0) {
      for (std::uint32_t& flags : shared_.step[k_turn_.slot]) flags = kEnd;
      arrive(shared_.k_full[k_turn_.slot]);
    }
    finish_v();
  }

 private:
  static constexpr std::uint32_t kPanelBlockBytes = kQuadrant * kPanel * 2;
  static constexpr int kPanels = Config::kHeadDim / kPanel;
  static constexpr bool kInBoxes = Config::kRows == Rows::in_boxes;
  static constexpr int kBoxesOfTile = kStripKeys / kBoxRows;
  static constexpr int kBoxesOfItem = Config::kGroups * kBoxesOfBlock;

  __device__ bool gathers() const { return Config::kGathers && p_.gather.ctas != 0; }

  /// An item, or a part of one, for one head.
  struct Work {
    WorkItem item;
    std::int32_t repeat;
    std::int32_t part;  ///< as in SharedStorage
  };

  __device__ Work fetch(std::uint32_t work) const {
    std::int32_t place = 0;
    Work found{.item = {}, .repeat = 0, .part = kNoPart};
    split_work(p_, work, place, found.repeat);
    Part part{place, 0, 0};
    if constexpr (Config::kCuts) part = part_at(p_.cuts, place);
    const int4 raw = __ldg(reinterpret_cast<const int4*>(p_.mask.items) + part.item);
    found.item = {raw.x, raw.y, raw.z, raw.w};
    if (Config::kCuts && part.halvings != 0) {
      const std::int32_t begin = part_begin(raw.z, part.number, part.halvings);
      found.item.first_tile += begin;
      found.item.n_tiles = part_begin(raw.z, part.number + 1, part.halvings) - begin;
      found.part = place * p_.repeats + found.repeat;
    }
    return found;
  }

  /// Takes an item; which one lane 0 knows, once the answer is there.
  __device__ std::uint32_t ask() const {
    return lane_ == 0 ? ptx::take_one(&p_.counters->next_item) : 0;
  }
  __device__ std::uint32_t told(std::uint32_t asked) const {
    return __shfl_sync(0xFFFFFFFFU, asked, 0) + (gathers() ? 0 : gridDim.x);
  }

  /// `after_tile` is called behind the loads of each of its tiles.
  template <class AfterTile>
  __device__ void load_item(const Work& work, AfterTile after_tile) {
    const WorkItem& item = work.item;
    const Place place = place_of(p_, item.mask, work.repeat);
    if (gathers()) wait_for_rows(place);
    if constexpr (kInBoxes) look_up_queries(item.row_tile);
    Steps steps(p_, item);
    const std::uint32_t slot = q_turn_.slot;
    // Whoever has still to free the slot may be waiting for the V that is due.
    if (!__all_sync(0xFFFFFFFFU, ready(shared_.q_empty[slot], q_turn_.parity ^ 1))) finish_v();
    wait(shared_.q_empty[slot], q_turn_.parity ^ 1);
    if constexpr (Config::kTellsRows) publish_rows(slot, item.row_tile);
    if (lane_ == 0) {
      shared_.item[slot] =
          ItemInfo<Config::kTellsPlaces>::of(p_, item.row_tile, place.batch, place.head);
      if constexpr (Config::kCuts) shared_.part[slot] = work.part;
      arrive_expecting(shared_.q_full[slot], SharedStorage<Config>::kQElements * 2);
    }
    __syncwarp();
    load_q(slot, item.row_tile * Config::kBlockM, place);
    q_turn_.advance();

    const Place keys{place.batch, place.head / p_.group};
    std::uint32_t opens = kOpens;
    TileEntry tile{};
    std::uint32_t states = 0;
    if constexpr (kInBoxes) {
      // Boxes are looked up a tile ahead, as its entry was a tile before.
      bool some = steps.next(tile);
      RowBox boxes = look_up_keys(tile);
      while (some) {
        TileEntry next_tile{};
        some = steps.next(next_tile);
        const RowBox next_boxes = look_up_keys(next_tile);
        load_tile(tile, boxes, keys, opens);
        after_tile();
        tile = next_tile;
        boxes = next_boxes;
      }
    } else {
      while (steps.next(tile)) {
        states |= tile.key;
        load_tile(tile, {}, keys, opens);
        after_tile();
      }
    }
    if (Config::kCuts && work.part != kNoPart) write_unvisited(work.part, states);
  }

  /// Warpgroups that run no step of a part write nothing: their rows have no key there.
  __device__ void write_unvisited(std::int32_t part, std::uint32_t states) const {
    for (int g = 0; g < Config::kGroups; ++g) {
      if ((quadrant(states, g, 0) | quadrant(states, g, 1)) != kEmpty) continue;
      float* const lse =
          p_.parts.lse + std::int64_t{part} * Config::kBlockM + g * kQuadrant + lane_;
      lse[0] = -INFINITY;
      lse[32] = -INFINITY;
    }
  }

  __device__ __forceinline__ void load_tile(const TileEntry& tile, const RowBox& boxes,
                                            const Place& place, std::uint32_t& opens) {
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int first_block = part * Config::kKeyBlocks;
      const Load load{key_tile(tile.key) * kStripKeys + first_block * kQuadrant, place.head,
                      place.batch, needed_blocks(tile.key, first_block), boxes};
      // Nobody needs it, unless it is the only one to open the item.
      if (kParts != 1 && load.blocks == 0 && (opens == 0 || part + 1 != kParts)) continue;
      wait(shared_.k_empty[k_turn_.slot], k_turn_.parity ^ 1);
      describe_step(tile.key, first_block, opens);
      const std::uint32_t bytes_of_bits =
          __popc(stored_strips(tile.key)) * std::uint32_t{kStripWords * 4};
      load_kv(p_.k_map, p_.k_boxes, shared_.k[k_turn_.slot], shared_.k_full[k_turn_.slot], load,
              bytes_of_bits);
      if (bytes_of_bits != 0 && lane_ == 0) {
        load_bytes(p_.mask.bits + std::int64_t{tile.bits} * kStripWords,
                   shared_.words[k_turn_.slot], bytes_of_bits, shared_.k_full[k_turn_.slot]);
      }
      k_turn_.advance();
      finish_v();
      pending_ = load;
      opens = 0;
    }
  }

  /// Those of both key blocks of a tile, one a lane, again in lanes 16 to 31.
  __device__ RowBox look_up_keys(const TileEntry& tile) const {
    if (p_.kv_rows.boxes == nullptr) return {};
    return look_up(p_.kv_rows, key_tile(tile.key) * kBoxesOfTile + lane_ % kBoxesOfTile);
  }

  /// Those of an item's Q, one a lane.
  __device__ void look_up_queries(std::int32_t row_tile) {
    if (p_.q_rows.boxes == nullptr || lane_ >= kBoxesOfItem) return;
    q_box_ = look_up(p_.q_rows, row_tile * kBoxesOfItem + lane_);
  }

  /// Tells each warpgroup where its rows stand.
  __device__ void publish_rows(std::uint32_t slot, std::int32_t row_tile) {
    if (lane_ % kBoxesOfBlock == 0 && lane_ < kBoxesOfItem) {
      const int group = lane_ / kBoxesOfBlock;
      shared_.rows[slot][group] =
          p_.q_rows.boxes != nullptr ? block_rows(p_.q_rows, q_box_)
          : p_.mask.q_order != nullptr
              ? BlockRows{0, 0}
              : BlockRows{row_tile * Config::kBlockM + group * kQuadrant, 1};
    }
    __syncwarp();
  }

  __device__ void wait_for_rows(const Place& place) {
    if (!GatherAhead<Config>::gathered(p_, place.batch, place.head)) {
      finish_v();
      while (!GatherAhead<Config>::gathered(p_, place.batch, place.head)) __nanosleep(100);
    }
    cuda::ptx::fence_proxy_async(cuda::ptx::space_global);
    __syncwarp();
  }

  /// K or V of a step: a tile, or where steps are narrower a part of it.
  struct Load {
    std::int32_t first_key;
    std::int32_t head, batch;
    std::uint32_t blocks;  ///< those of its key blocks that any warpgroup needs, a bit each
    RowBox boxes;          ///< of Rows::in_boxes
  };
  static constexpr int kParts = kStripKeys / Config::kBlockN;
  static constexpr std::int32_t kNothing = -1;

  /// The V tile that follows the K tile issued last.
  __device__ void finish_v() {
    if (pending_.first_key == kNothing) return;
    wait(shared_.v_empty[v_turn_.slot], v_turn_.parity ^ 1);
    load_kv(p_.v_map, p_.v_boxes, shared_.v[v_turn_.slot], shared_.v_full[v_turn_.slot], pending_,
            0);
    v_turn_.advance();
    pending_.first_key = kNothing;
  }

  __device__ void load_q(std::uint32_t slot, std::int32_t first_row, const Place& place) {
    std::uint16_t* const q = shared_.q[slot];
    std::uint64_t& barrier = shared_.q_full[slot];
    if constexpr (kInBoxes) {
      if (p_.q_rows.boxes != nullptr) {
        if (lane_ >= kBoxesOfItem) return;
        for (int panel = 0; panel < kPanels; ++panel) {
          load_panel(p_.q_boxes, q_box_, lane_ % kBoxesOfBlock, panel,
                     q + (panel * Config::kBlockM + lane_ / kBoxesOfBlock * kQuadrant) * kPanel,
                     barrier, place.head, place.batch);
        }
        return;
      }
    }
    if (!p_.gather_q) [[likely]] {
      if (lane_ != 0) return;
      for (int panel = 0; panel < kPanels; ++panel) {
        load_box(p_.q_map, q + panel * Config::kBlockM * kPanel, barrier, panel * kPanel, first_row,
                 place.head, place.batch);
      }
      return;
    }
    for (int r = lane_; r < Config::kBlockM; r += 32) {
      const std::int32_t row = first_row + r < p_.n_q ? p_.mask.q_order[first_row + r] : p_.n_q;
      for (int panel = 0; panel < kPanels; ++panel) {
        load_box(p_.q_map, q + (panel * Config::kBlockM + r) * kPanel, barrier, panel * kPanel, row,
                 place.head, place.batch);
      }
    }
  }

  /// Tells each warpgroup what it has to do: lane g warpgroup g.
  __device__ __forceinline__ void describe_step(std::uint32_t key, int first_block,
                                                std::uint32_t flags) {
    const auto tell = [&](int g) {
      std::uint32_t mine = flags;
      const std::uint32_t first = quadrant(key, g, first_block);
      const std::uint32_t second =
          Config::kKeyBlocks == 2 ? quadrant(key, g, first_block + 1) : kEmpty;
      if (first != kEmpty || second != kEmpty) mine |= kRun;
      if (first != kEmpty && second != kEmpty) mine |= kWide;
      if (first == kEmpty || first_block != 0) mine |= kSecond;
      if (((first | second) & kPartial) != 0) mine |= kMasked;
      const std::uint32_t strip = __popc(stored_strips(key) & ((1U << 4 * g) - 1));
      shared_.step[k_turn_.slot][g] = mine | strip << kStripShift;
    };
    if constexpr (kArrivals == 1) {
      if (lane_ < Config::kGroups) tell(lane_);
    } else if (lane_ == 0) {
      for (int g = 0; g < Config::kGroups; ++g) tell(g);
    }
    __syncwarp();
  }

  static __device__ __forceinline__ std::uint32_t needed_blocks(std::uint32_t key,
                                                                int first_block) {
    std::uint32_t blocks = 0;
#pragma unroll
    for (int c = 0; c < Config::kKeyBlocks; ++c) {
      std::uint32_t any = 0;
#pragma unroll
      for (int g = 0; g < Config::kGroups; ++g) any |= quadrant_mask(g, first_block + c);
      if ((key & any) != 0) blocks |= 1U << c;
    }
    return blocks;
  }

  /// Loads the key blocks of a step that any warpgroup needs; `full` is to expect `more_bytes` too.
  __device__ __forceinline__ void load_kv(const CUtensorMap& map, const OrderedTensor& boxes,
                                          std::uint16_t* destination, std::uint64_t& full,
                                          const Load& load, std::uint32_t more_bytes) {
    if (lane_ == 0) {
      arrive_expecting(full, __popc(load.blocks) * kPanels * kPanelBlockBytes + more_bytes);
      if (!kInBoxes && !p_.gather_kv) [[likely]] {
#pragma unroll
        for (int c = 0; c < Config::kKeyBlocks; ++c) {
          if ((load.blocks >> c & 1) == 0) continue;
#pragma unroll
          for (int panel = 0; panel < kPanels; ++panel) {
            load_box(map, destination + (panel * Config::kBlockN + c * kQuadrant) * kPanel, full,
                     panel * kPanel, load.first_key + c * kQuadrant, load.head, load.batch);
          }
        }
      }
    }
    if (!kInBoxes && !p_.gather_kv) [[likely]]
      return;
    __syncwarp();
    const std::int32_t first_key = load.first_key;
#pragma unroll
    for (int c = 0; c < Config::kKeyBlocks; ++c) {
      if ((load.blocks >> c & 1) == 0) continue;
      if constexpr (kInBoxes) {
        if (p_.kv_rows.boxes != nullptr) {
          if (lane_ % kBoxesOfTile / kBoxesOfBlock != first_key % kStripKeys / kQuadrant + c)
            continue;
          for (int panel = lane_ / kBoxesOfTile; panel < kPanels; panel += 32 / kBoxesOfTile) {
            load_panel(boxes, load.boxes, lane_ % kBoxesOfBlock, panel,
                       destination + (panel * Config::kBlockN + c * kQuadrant) * kPanel, full,
                       load.head, load.batch);
          }
          continue;
        }
      }
      if (!p_.gather_kv) {
        if (lane_ != 0) continue;
#pragma unroll
        for (int panel = 0; panel < kPanels; ++panel) {
          load_box(map, destination + (panel * Config::kBlockN + c * kQuadrant) * kPanel, full,
                   panel * kPanel, first_key + c * kQuadrant, load.head, load.batch);
        }
        continue;
      }
      for (int r = c * kQuadrant + lane_; r < (c + 1) * kQuadrant; r += 32) {
        const std::int32_t key = first_key + r < p_.n_k ? p_.mask.kv_order[first_key + r] : p_.n_k;
        for (int panel = 0; panel < kPanels; ++panel) {
          load_box(map, destination + (panel * Config::kBlockN + r) * kPanel, full, panel * kPanel,
                   key, load.head, load.batch);
        }
      }
    }
  }

  const ForwardParams& p_;
  SharedStorage<Config>& shared_;
  int lane_;
  Turn<Config::kItemSlots> q_turn_;
  Turn<Config::kStages> k_turn_;
  Turn<Config::kStages> v_turn_;
  Load pending_{kNothing, 0, 0, 0, {}};
  RowBox q_box_{};
};

}  // namespace attn::hopper

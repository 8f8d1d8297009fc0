// SPDX-License-Identifier: Apache-2.0
//
// Exact masked attention on sm_90a. One CTA a multiprocessor lives for the whole launch and takes
// items (a row of tiles of one head) from a counter. One warp loads by TMA; each of 2 or 3
// warpgroups computes 64 rows of the item:
//
//     loading warp    Q(i)  K0 K1 V0 K2 V1 ...            -> rings in shared memory (pipeline.cuh)
//     warpgroup       S = Q Kt(t+1) | O += P V(t)         wgmma, both in flight together
//                     softmax of t+1 while P V(t) runs    O, S and P never leave the registers
//
// The stream of steps does not stop between items: the first Q Kt of the next item is already in
// flight when the last P V of this one is waited for and O is written. The warpgroups take turns
// in issuing (named barriers), so that one's softmax runs under the other's products.
#pragma once

#include <type_traits>

#include "cuda/hopper/mask.cuh"
#include "cuda/hopper/params.hpp"
#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/ptx.cuh"
#include "cuda/hopper/schedule.cuh"
#include "cuda/hopper/softmax.cuh"

namespace attn::hopper {

template <class T, int kDim, int kN, int kWarpgroups, int kRing, int kItems>
struct ForwardConfig {
  using Element = T;
  static constexpr int kHeadDim = kDim;
  static constexpr int kBlockN = kN;
  static constexpr int kGroups = kWarpgroups;
  static constexpr int kBlockM = 64 * kWarpgroups;
  static constexpr int kStages = kRing;
  static constexpr int kItemSlots = kItems;
  static constexpr bool kOverlapItems = kWarpgroups == 2;
  static constexpr int kThreads = 128 * (kWarpgroups + 1);
  static constexpr int kKeyBlocks = kBlockN / kQuadrant;

  // 65,536 registers: one warpgroup loads, the others compute.
  static constexpr int kLoadRegisters = kWarpgroups == 2 ? 24 : 32;
  static constexpr int kComputeRegisters = kWarpgroups == 2 ? 240 : 160;

  static_assert(kHeadDim % kPanel == 0, "rows of Q, K, V are whole 128-byte panels");
  static_assert(kBlockN == 64 || kBlockN == 128, "a key tile is one or two key blocks");
  static_assert(kWarpgroups == 2 || kWarpgroups == 3, "two or three warpgroups compute");
};

/// State of query block `group`, key block `block` of a tile.
__device__ __forceinline__ std::uint32_t quadrant(std::uint32_t key, int group, int block) {
  return (key >> (kKeyTileBits + 2 * (2 * group + block))) & 3U;
}
__device__ __forceinline__ std::int32_t key_tile(std::uint32_t key) {
  return static_cast<std::int32_t>(key & ((1U << kKeyTileBits) - 1));
}

// --- the loading warp ----------------------------------------------------------------------------

template <class Config>
class Loader {
 public:
  __device__ Loader(const ForwardParams& p, SharedStorage<Config>& shared)
      : p_(p), shared_(shared), lane_(static_cast<int>(threadIdx.x % 32)) {}

  __device__ void run() {
    std::uint32_t work = blockIdx.x;
    WorkItem item{};
    std::int32_t repeat = 0;
    if (work < p_.work_count) item = fetch(work, repeat);
    while (work < p_.work_count) {
      // What comes next is asked for now, so that its latency hides behind this item's loads.
      const std::uint32_t next_work = next();
      std::int32_t next_repeat = 0;
      WorkItem next_item{};
      if (next_work < p_.work_count) next_item = fetch(next_work, next_repeat);
      load_item(item, place_of(p_, item.mask, repeat));
      work = next_work;
      item = next_item;
      repeat = next_repeat;
    }
    wait(shared_.k_empty[k_turn_.slot], k_turn_.parity ^ 1);
    if (lane_ == 0) {
      for (StepInfo& info : shared_.step[k_turn_.slot]) info.flags = kEnd;
      arrive(shared_.k_full[k_turn_.slot]);
    }
    finish_v();
  }

 private:
  static constexpr std::uint32_t kPanelBlockBytes = kQuadrant * kPanel * 2;
  static constexpr int kPanels = Config::kHeadDim / kPanel;

  __device__ WorkItem fetch(std::uint32_t work, std::int32_t& repeat) const {
    std::int32_t index = 0;
    split_work(p_, work, index, repeat);
    const int4 raw = __ldg(reinterpret_cast<const int4*>(p_.mask.items) + index);
    return {raw.x, raw.y, raw.z, raw.w};
  }

  __device__ std::uint32_t next() const {
    std::uint32_t taken = 0;
    if (lane_ == 0) taken = atomicAdd(&p_.counters->next_item, 1U);
    return gridDim.x + __shfl_sync(0xFFFFFFFFU, taken, 0);
  }

  __device__ uint2 entry(std::int32_t index) const {
    return __ldg(reinterpret_cast<const uint2*>(p_.mask.tiles) + index);
  }

  __device__ void load_item(const WorkItem& item, const Place& place) {
    uint2 tile = entry(item.first_tile);
    const std::uint32_t slot = q_turn_.slot;
    wait(shared_.q_empty[slot], q_turn_.parity ^ 1);
    if (lane_ == 0) {
      shared_.item[slot] = {item.row_tile, place.batch, place.head};
      arrive_expecting(shared_.q_full[slot], SharedStorage<Config>::kQElements * 2);
    }
    __syncwarp();
    load_q(slot, item.row_tile * Config::kBlockM, place);
    q_turn_.advance();

    for (std::int32_t j = 0; j < item.n_tiles; ++j) {
      const uint2 ahead = j + 1 < item.n_tiles ? entry(item.first_tile + j + 1) : tile;
      const Load load{tile.x, place.head / p_.group, place.batch};
      wait(shared_.k_empty[k_turn_.slot], k_turn_.parity ^ 1);
      if (lane_ == 0) describe_step(tile, j == 0 ? kOpens : 0);
      load_kv(p_.k_map, shared_.k[k_turn_.slot], shared_.k_full[k_turn_.slot], load);
      k_turn_.advance();
      finish_v();
      pending_ = load;
      tile = ahead;
    }
  }

  struct Load {
    std::uint32_t key;
    std::int32_t head, batch;
  };
  static constexpr std::uint32_t kNothing = 0xFFFFFFFFU;

  /// The V tile that follows the K tile issued last.
  __device__ void finish_v() {
    if (pending_.key == kNothing) return;
    wait(shared_.v_empty[v_turn_.slot], v_turn_.parity ^ 1);
    load_kv(p_.v_map, shared_.v[v_turn_.slot], shared_.v_full[v_turn_.slot], pending_);
    v_turn_.advance();
    pending_.key = kNothing;
  }

  __device__ void load_q(std::uint32_t slot, std::int32_t first_row, const Place& place) {
    std::uint16_t* const q = shared_.q[slot];
    std::uint64_t& barrier = shared_.q_full[slot];
    if (!p_.gather_q) {
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

  __device__ void describe_step(uint2 tile, std::uint32_t flags) {
#pragma unroll
    for (int g = 0; g < Config::kGroups; ++g) {
      const std::uint32_t first = quadrant(tile.x, g, 0);
      const std::uint32_t second = Config::kBlockN == 128 ? quadrant(tile.x, g, 1) : kEmpty;
      std::uint32_t mine = flags;
      if (first != kEmpty || second != kEmpty) mine |= kRun;
      if (first != kEmpty && second != kEmpty) mine |= kWide;
      if (first == kEmpty) mine |= kSecond;
      if (first == kPartial || second == kPartial) mine |= kMasked;
      shared_.step[k_turn_.slot][g] = {mine, tile.y};
    }
  }

  /// Loads the key blocks of a tile that any warpgroup needs.
  __device__ void load_kv(const CUtensorMap& map, std::uint16_t* destination, std::uint64_t& full,
                          const Load& load) {
    bool needed[Config::kKeyBlocks];
    std::uint32_t blocks = 0;
#pragma unroll
    for (int c = 0; c < Config::kKeyBlocks; ++c) {
      needed[c] = false;
#pragma unroll
      for (int g = 0; g < Config::kGroups; ++g) needed[c] |= quadrant(load.key, g, c) != kEmpty;
      blocks += needed[c] ? 1 : 0;
    }
    if (lane_ == 0) arrive_expecting(full, blocks * kPanels * kPanelBlockBytes);
    __syncwarp();
    const std::int32_t first_key = key_tile(load.key) * Config::kBlockN;
#pragma unroll
    for (int c = 0; c < Config::kKeyBlocks; ++c) {
      if (!needed[c]) continue;
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
  Load pending_{kNothing, 0, 0};
};

// --- a computing warpgroup -----------------------------------------------------------------------

/// Registers are short here, so a place in a ring is one number: the count of uses so far
/// (pipeline.cuh: slot and parity follow from it).
template <class Config>
class Computer {
 public:
  __device__ Computer(const ForwardParams& p, SharedStorage<Config>& shared, int group)
      : p_(p),
        shared_(shared),
        group_(group),
        thread_(static_cast<int>(threadIdx.x % 128)),
        scale_log2_(p.scale_log2),
        bits_(p.mask.bits + word_index<Config::kBlockN>(0, Config::kGroups, group, thread_)) {}

  __device__ __forceinline__ void run() {
    if (group_ == 0) pass_turn(Config::kGroups - 1);
    next_.position = kNone;  // the step before the first, of the item before the first
    next_.item = kNone;
    advance();
    wait_for_warps();
    if ((next_.flags & kRun) == 0) skip(kNone);
    if ((next_.flags & kEnd) != 0) return;
    begin_scores(kNone);

    std::uint32_t o_position = kNone;   // the step whose P V is in flight
    std::uint32_t before_item = kNone;  // whose O is complete but not written
    RowState before{};
    for (;;) {
      const Running now = next_;
      const bool first = first_;
      const std::uint32_t seen = mask_scores(now);
      row_.seen = first ? seen : row_.seen | seen;
      float alpha[2];
      bool rescale = false;
      if (Config::kBlockN == 64 || (now.flags & kWide) == 0) {
        rescale = softmax_step<32>(s_, row_, scale_log2_, first, alpha);
      } else {
        rescale = softmax_step<kScores>(s_, row_, scale_log2_, first, alpha);
      }

      ptx::wgmma_wait<0>();
      ptx::pin(o_);
      ptx::pin(p_bits_);
      if (o_position != kNone) release_v(o_position);
      if (Config::kOverlapItems && before_item != kNone) {
        write_item(before_item, before);
        before_item = kNone;
      }
      if (rescale) {
#pragma unroll
        for (int i = 0; i < kOutputs; i += 4) {
          o_[i] *= alpha[0];
          o_[i + 1] *= alpha[0];
          o_[i + 2] *= alpha[1];
          o_[i + 3] *= alpha[1];
        }
      }
#pragma unroll
      for (int i = 0; i < kScores / 2; ++i) {
        p_bits_[i] = ptx::pack<Element>(s_[2 * i], s_[2 * i + 1]);
      }

      advance();
      const std::uint64_t v = v_descriptor(now);
      if ((next_.flags & kRun) != 0 && (Config::kOverlapItems || next_.item == now.item)) {
        first_ = next_.item != now.item;
        load_words();
        const std::uint64_t q = q_descriptor();
        const std::uint64_t k = k_descriptor();
        wait_for_v(now);
        wait_turn();
        issue_scores(q, k);
        issue_output(now, v, !first);
        o_position = now.position;
        ptx::wgmma_wait<1>();
        finish_scores();
        if (Config::kOverlapItems && first_) {
          before = row_;
          before_item = now.item;
        }
        continue;
      }

      // Nothing to overlap with: drain, then look for the next step of this warpgroup.
      wait_for_v(now);
      wait_turn();
      issue_output(now, v, !first);
      ptx::wgmma_wait<0>();
      ptx::pin(o_);
      ptx::pin(p_bits_);
      release_v(now.position);
      o_position = kNone;
      if ((next_.flags & kRun) == 0) skip(now.item);
      if ((next_.flags & kEnd) != 0 || next_.item != now.item) write_item(now.item, row_);
      if ((next_.flags & kEnd) != 0) return;
      begin_scores(now.item);
    }
  }

 private:
  using Element = typename Config::Element;
  static constexpr int kScores = Config::kBlockN / 2;
  static constexpr int kOutputs = Config::kHeadDim / 2;
  static constexpr int kPanels = Config::kHeadDim / kPanel;
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  /// A step between the issue of its scores and that of its output.
  struct Running {
    std::uint32_t flags;
    std::uint32_t item, position;
  };

  static __device__ __forceinline__ std::uint32_t slot(std::uint32_t position) {
    return position % Config::kStages;
  }
  static __device__ __forceinline__ std::uint32_t parity(std::uint32_t position) {
    return position / Config::kStages % 2;
  }
  __device__ __forceinline__ void release_k(std::uint32_t position) {
    if (thread_ == 0) arrive(shared_.k_empty[slot(position)]);
  }
  __device__ __forceinline__ void release_v(std::uint32_t position) {
    if (thread_ == 0) arrive(shared_.v_empty[slot(position)]);
  }
  __device__ __forceinline__ void release_q(std::uint32_t item) {
    if (thread_ % 32 == 0) arrive(shared_.q_empty[item % Config::kItemSlots]);
  }
  __device__ __forceinline__ void wait_for_v(const Running& now) {
    wait(shared_.v_full[slot(now.position)], parity(now.position));
  }

  // With turns, warpgroup g waits at barrier 1 + g until the one before it has issued its products.
  // Without, the barrier only keeps the four warps of a warpgroup together, which releasing a tile
  // on behalf of all of them needs.
  __device__ __forceinline__ void wait_turn() {
    ptx::named_barrier_wait(1 + group_, p_.turns ? 256 : 128);
  }
  __device__ __forceinline__ void pass_turn(int group) {
    if (p_.turns) ptx::named_barrier_arrive(1 + (group + 1) % Config::kGroups, 256);
  }

  /// One thread gives a tile back for all 128, so a named barrier must stand between what the
  /// others have read of it and that: wait_turn(), or this one where no turn is taken.
  __device__ __forceinline__ void wait_for_warps() {
    ptx::named_barrier_wait(1 + Config::kGroups + group_, 128);
  }

  /// Moves `next_` on by one step and waits for its K tile, and for Q where it opens an item.
  __device__ __forceinline__ void advance() {
    ++next_.position;
    const std::uint32_t ring = slot(next_.position);
    wait(shared_.k_full[ring], parity(next_.position));
    const StepInfo info = shared_.step[ring][group_];
    // The same in all lanes; the shuffle tells the compiler so, and branches stay uniform.
    next_.flags = __shfl_sync(0xFFFFFFFFU, info.flags, 0);
    next_bits_ = info.bits;
    if ((next_.flags & kOpens) != 0) {
      ++next_.item;
      wait(shared_.q_full[next_.item % Config::kItemSlots], next_.item / Config::kItemSlots % 2);
    }
  }

  /// Gives back the tiles, and whole items, that this warpgroup does not need; `item` is the last
  /// of which it ran a step. On return `next_` is a step to run, or the end.
  __device__ __forceinline__ void skip(std::uint32_t item) {
    while ((next_.flags & (kRun | kEnd)) == 0) {
      const Running skipped = next_;
      wait_for_v(skipped);
      wait_turn();
      pass_turn(group_);
      release_k(skipped.position);
      release_v(skipped.position);
      advance();
      const bool item_over = next_.item != skipped.item || (next_.flags & kEnd) != 0;
      if (item_over && skipped.item != item) release_q(skipped.item);
    }
    wait_for_warps();
  }

  /// The scores of `next_`, with nothing else in flight; `item` is that of the step before it.
  __device__ __forceinline__ void begin_scores(std::uint32_t item) {
    first_ = next_.item != item;
    load_words();
    issue_scores(q_descriptor(), k_descriptor());
    ptx::wgmma_wait<0>();
    finish_scores();
  }

  __device__ __forceinline__ void load_words() {
    if ((next_.flags & kMasked) == 0) return;
    const std::uint32_t* const words =
        bits_ + word_index<Config::kBlockN>(next_bits_, Config::kGroups, 0, 0);
    if constexpr (Config::kBlockN == 128) {
      words_ = __ldg(reinterpret_cast<const uint2*>(words));
    } else {
      words_.x = __ldg(words);
    }
  }

  /// The scores of `next_` have arrived, so its K tile is free.
  __device__ __forceinline__ void finish_scores() {
    ptx::pin(s_);
    release_k(next_.position);
  }

  /// Masked scores become −inf. Returns the OR of this thread's mask words.
  __device__ __forceinline__ std::uint32_t mask_scores(const Running& now) {
    if ((now.flags & kMasked) == 0) return 0xFFFFFFFFU;
    const std::uint32_t word = (now.flags & kSecond) != 0 ? words_.y : words_.x;
    apply_word<0>(s_, word);
    if constexpr (Config::kBlockN == 128) {
      if ((now.flags & kWide) != 0) {
        apply_word<32>(s_, words_.y);
        return word | words_.y;
      }
    }
    return word;
  }

  /// Bytes before the key block that a step starts with.
  static __device__ __forceinline__ std::uint32_t key_offset(const Running& step) {
    return (step.flags & kSecond) != 0 ? kQuadrant * 128 : 0;
  }
  __device__ __forceinline__ std::uint64_t q_descriptor() const {
    return ptx::matrix_descriptor(
        shared_address(shared_.q[next_.item % Config::kItemSlots]) + group_ * kQuadrant * 128, 16);
  }
  __device__ __forceinline__ std::uint64_t k_descriptor() const {
    return ptx::matrix_descriptor(
        shared_address(shared_.k[slot(next_.position)]) + key_offset(next_), 16);
  }
  __device__ __forceinline__ std::uint64_t v_descriptor(const Running& now) const {
    return ptx::matrix_descriptor(shared_address(shared_.v[slot(now.position)]) + key_offset(now),
                                  Config::kBlockN * 128);
  }

  __device__ __forceinline__ void issue_scores(std::uint64_t q, std::uint64_t k) {
    if (Config::kBlockN == 128 && (next_.flags & kWide) != 0) {
      multiply_scores(s_, q, k);
    } else {
      multiply_scores(reinterpret_cast<float(&)[32]>(s_), q, k);
    }
  }

  template <int kCount>
  __device__ __forceinline__ void multiply_scores(float (&s)[kCount], std::uint64_t q,
                                                  std::uint64_t k) {
    ptx::pin(s);
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < Config::kHeadDim / 16; ++step) {
      // 16 columns are 32 bytes inside a panel; four of them fill it.
      const int panel = step / 4;
      const int inside = step % 4 * 32;
      ptx::wgmma_ss<Element>(s, q + ((panel * Config::kBlockM * 128 + inside) >> 4),
                             k + ((panel * Config::kBlockN * 128 + inside) >> 4), step != 0);
    }
    ptx::wgmma_commit();
  }

  __device__ __forceinline__ void issue_output(const Running& now, std::uint64_t v, bool keep) {
    if (Config::kBlockN == 128 && (now.flags & kWide) != 0) {
      multiply_output<Config::kBlockN / 16>(v, keep);
    } else {
      multiply_output<4>(v, keep);
    }
  }

  template <int kSteps>
  __device__ __forceinline__ void multiply_output(std::uint64_t v, bool keep) {
    ptx::pin(o_);
    ptx::pin(p_bits_);
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      // Waking the next warpgroup takes about as long as the last products.
      if (step == kSteps - 2) pass_turn(group_);
      // 16 keys are two atoms of 8 rows x 128 bytes.
      ptx::wgmma_rs<Element>(o_, p_bits_[4 * step], p_bits_[4 * step + 1], p_bits_[4 * step + 2],
                             p_bits_[4 * step + 3], v + ((step * 2048) >> 4), step != 0 || keep);
    }
    ptx::wgmma_commit();
  }

  /// Divides O by the sums and writes O and LSE of the item in this slot; then the slot is free.
  /// O goes through the slot's Q rows, which only this warp has read, so that rows leave whole.
  __device__ __forceinline__ void write_item(std::uint32_t item, const RowState& row) {
    const std::uint32_t slot = item % Config::kItemSlots;
    const ItemInfo& info = shared_.item[slot];
    const int warp = thread_ / 32;
    const int lane = thread_ % 32;
    const std::uint32_t seen = quad_or(row.seen);
    bool redo = false;
    float log_sum[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float sum = quad_sum(row.sum[r]);
      const bool has_key = (seen & (r == 0 ? kUpperRow : kLowerRow)) != 0;
      // All allowed scores −inf: 0 / 0, which the safe path answers as the reference does.
      const float scale = sum != 0 ? __fdividef(1.0F, sum) : has_key ? NAN : 0.0F;
      float finite = 0;
#pragma unroll
      for (int i = 0; i < kOutputs; i += 4) {
        o_[i + 2 * r] *= scale;
        o_[i + 2 * r + 1] *= scale;
        finite += o_[i + 2 * r] * 0.0F + o_[i + 2 * r + 1] * 0.0F;
      }
      redo |= finite != 0 || scale != scale;
      log_sum[r] = sum != 0 ? row.max[r] * p_.scale + __logf(sum) : -INFINITY;
    }
    if (__any_sync(0xFFFFFFFFU, redo) && lane == 0) p_.counters->redo = 1;

    const std::int32_t first_row = info.row_tile * Config::kBlockM + group_ * kQuadrant + warp * 16;
    if (p_.lse != nullptr && lane % 4 == 0) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const std::int32_t i = first_row + lane / 4 + 8 * r;
        if (i < p_.n_q) {
          p_.lse[info.batch * p_.lse_strides.batch + info.head * p_.lse_strides.head +
                 row_of(i) * p_.lse_strides.row] = log_sum[r];
        }
      }
    }

    std::uint16_t* const staging = shared_.q[slot] + (group_ * kQuadrant + warp * 16) * kPanel;
    const std::uint32_t base = shared_address(staging);
    const int in_matrix = lane % 8;
    const int matrix_row = in_matrix + lane / 8 % 2 * 8;
#pragma unroll
    for (int j = 0; j < kOutputs / 8; ++j) {
      const int chunk = (2 * j + lane / 16) % 8;
      const int panel = j / 4;
      const std::uint32_t address =
          base + panel * Config::kBlockM * 128 + matrix_row * 128 + ((chunk ^ in_matrix) << 4);
      ptx::store_matrix_x4(address, ptx::pack<Element>(o_[8 * j], o_[8 * j + 1]),
                           ptx::pack<Element>(o_[8 * j + 2], o_[8 * j + 3]),
                           ptx::pack<Element>(o_[8 * j + 4], o_[8 * j + 5]),
                           ptx::pack<Element>(o_[8 * j + 6], o_[8 * j + 7]));
    }
    __syncwarp();
    constexpr int kChunks = Config::kHeadDim / 8;  // of 16 bytes in a row
    constexpr int kRowsAtOnce = 32 / kChunks;
    auto* const o = static_cast<std::uint16_t*>(p_.o) + info.batch * p_.o_strides.batch +
                    info.head * p_.o_strides.head;
    const int chunk = lane % kChunks;
#pragma unroll
    for (int pass = 0; pass < 16 / kRowsAtOnce; ++pass) {
      const int r = pass * kRowsAtOnce + lane / kChunks;
      const auto* const source = reinterpret_cast<const uint4*>(
          staging + (chunk / 8 * Config::kBlockM + r) * kPanel + ((chunk % 8) ^ (r % 8)) * 8);
      const std::int32_t i = first_row + r;
      if (i < p_.n_q) {
        *reinterpret_cast<uint4*>(o + row_of(i) * p_.o_strides.row + chunk * 8) = *source;
      }
    }
    // The next Q comes here through TMA: order it behind these ordinary accesses.
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    __syncwarp();
    release_q(item);
  }

  __device__ __forceinline__ std::int64_t row_of(std::int32_t i) const {
    return p_.mask.q_order == nullptr ? i : __ldg(p_.mask.q_order + i);
  }

  const ForwardParams& p_;
  SharedStorage<Config>& shared_;
  int group_;
  int thread_;
  float scale_log2_;
  const std::uint32_t* bits_;  // this thread's words of tile 0
  Running next_{};             // the step that comes next
  bool first_ = false;         // of its item, for this warpgroup
  std::uint32_t next_bits_ = kNoBits;
  uint2 words_{};  // mask bits of next_
  RowState row_{};
  float s_[kScores];
  float o_[kOutputs];
  std::uint32_t p_bits_[kScores / 2];
};

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, 1)
    forward_kernel(const __grid_constant__ ForwardParams p) {
  extern __shared__ std::uint8_t dynamic_shared[];
  auto& shared = *reinterpret_cast<SharedStorage<Config>*>(
      dynamic_shared + (1024 - shared_address(dynamic_shared) % 1024) % 1024);

  if (threadIdx.x == 0) {
    for (int i = 0; i < Config::kItemSlots; ++i) {
      cuda::ptx::mbarrier_init(&shared.q_full[i], 1);
      cuda::ptx::mbarrier_init(&shared.q_empty[i], 4 * Config::kGroups);
    }
    for (int i = 0; i < Config::kStages; ++i) {
      cuda::ptx::mbarrier_init(&shared.k_full[i], 1);
      cuda::ptx::mbarrier_init(&shared.k_empty[i], Config::kGroups);
    }
    for (int i = 0; i < Config::kStages; ++i) {
      cuda::ptx::mbarrier_init(&shared.v_full[i], 1);
      cuda::ptx::mbarrier_init(&shared.v_empty[i], Config::kGroups);
    }
    cuda::ptx::fence_mbarrier_init(cuda::ptx::sem_release, cuda::ptx::scope_cluster);
  }
  __syncthreads();

  const int warpgroup = __shfl_sync(0xFFFFFFFFU, threadIdx.x / 128, 0);
  if (warpgroup == 0) {
    ptx::give_registers<Config::kLoadRegisters>();
    if (threadIdx.x < 32) Loader<Config>(p, shared).run();
  } else {
    ptx::take_registers<Config::kComputeRegisters>();
    Computer<Config>(p, shared, warpgroup - 1).run();
  }
}

}  // namespace attn::hopper

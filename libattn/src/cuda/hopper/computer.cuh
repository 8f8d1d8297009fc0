// SPDX-License-Identifier: Apache-2.0
//
// A warpgroup that computes: 64 rows of every item, step after step.
#pragma once

#include "cuda/hopper/config.cuh"
#include "cuda/hopper/epilogue.cuh"
#include "cuda/hopper/mask.cuh"
#include "cuda/hopper/pipeline.cuh"
#include "cuda/hopper/products.cuh"
#include "cuda/hopper/ptx.cuh"
#include "cuda/hopper/softmax.cuh"

namespace attn::hopper {

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
        scale_log2_(p.scale_log2) {}

  __device__ __forceinline__ void run() {
    if (group_ == 0) pass_turn(Config::kGroups - 1);
    next_.position = kNone;  // the step before the first, of the item before the first
    next_.item = kNone;
    advance();
    while ((next_.flags & (kRun | kEnd)) == 0) skip_step(kNone);
    wait_for_warps();
    if ((next_.flags & kEnd) != 0) return;
    begin_scores(kNone);

    bool o_in_flight = false;           // the P V of the step before
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
        rescale = softmax_step<kWideRange, 32>(s_, row_, steady_, scale_log2_, first, alpha);
      } else {
        rescale = softmax_step<kWideRange, kScores>(s_, row_, steady_, scale_log2_, first, alpha);
      }

      ptx::wgmma_wait<0>();
      ptx::pin(o_);
      ptx::pin(p_bits_);
      if (o_in_flight) release_v(now.position - 1);
      if (Config::kOverlapItems && before_item != kNone) {
        finish_item(before_item, before);
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
        const std::uint64_t q = q_descriptor();
        const std::uint64_t k = k_descriptor();
        wait_for_v(now);
        wait_turn();
        issue_scores(q, k);
        issue_output(now, v, !first);
        o_in_flight = true;
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
      o_in_flight = false;
      bool open = true;
      for (;;) {
        // Written before any item is skipped: the loading warp may need the slot to go on.
        if (open && (next_.item != now.item || (next_.flags & kEnd) != 0)) {
          finish_item(now.item, row_);
          open = false;
        }
        if ((next_.flags & (kRun | kEnd)) != 0) break;
        skip_step(now.item);
      }
      if ((next_.flags & kEnd) != 0) return;
      begin_scores(now.item);
    }
  }

 private:
  using Element = typename Config::Element;
  static constexpr bool kWideRange = std::is_same_v<Element, __nv_bfloat16>;
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
  /// What this warp, or the warpgroup, has read of a tile may be overwritten.
  __device__ __forceinline__ void release(std::uint64_t (&empty)[Config::kStages],
                                          std::uint32_t position) {
    if constexpr (Config::kWarpsRelease) {
      __syncwarp();
      arrive_if(threadIdx.x % 32 < kArrivals, empty[slot(position)]);
    } else if (thread_ == 0) {
      arrive(empty[slot(position)]);
    }
  }
  __device__ __forceinline__ void release_k(std::uint32_t position) {
    release(shared_.k_empty, position);
  }
  __device__ __forceinline__ void release_v(std::uint32_t position) {
    release(shared_.v_empty, position);
  }
  __device__ __forceinline__ void release_q(std::uint32_t item) {
    std::uint64_t& empty = shared_.q_empty[item % Config::kItemSlots];
    if constexpr (Config::kWarpsRelease) {
      arrive_if(threadIdx.x % 32 < kArrivals, empty);
    } else if (thread_ % 32 == 0) {
      arrive(empty);
    }
  }
  __device__ __forceinline__ void wait_for_v(const Running& now) {
    wait(shared_.v_full[slot(now.position)], parity(now.position));
  }

  // With turns, warpgroup g waits at barrier 1 + g until the one before it has issued its products.
  // Without, the barrier only keeps the four warps of a warpgroup together, where one thread
  // releases for all of them.
  __device__ __forceinline__ void wait_turn() {
    if constexpr (Config::kWarpsRelease) {
      if (p_.turns) ptx::named_barrier_wait(1 + group_, 256);
    } else {
      ptx::named_barrier_wait(1 + group_, p_.turns ? 256 : 128);
    }
  }
  __device__ __forceinline__ void pass_turn(int group) {
    if (p_.turns) ptx::named_barrier_arrive(1 + (group + 1) % Config::kGroups, 256);
  }

  /// Where one thread gives a tile back for all 128, a named barrier must stand between what the
  /// others have read of it and that: wait_turn(), or this one where no turn is taken.
  __device__ __forceinline__ void wait_for_warps() {
    if constexpr (!Config::kWarpsRelease) {
      ptx::named_barrier_wait(1 + Config::kGroups + group_, 128);
    }
  }

  /// Moves `next_` on by one step and waits for its K tile and mask bits, and for Q where it opens
  /// an item.
  __device__ __forceinline__ void advance() {
    ++next_.position;
    const std::uint32_t ring = slot(next_.position);
    wait(shared_.k_full[ring], parity(next_.position));
    // The same in all lanes; the shuffle tells the compiler so, and branches stay uniform.
    next_.flags = __shfl_sync(0xFFFFFFFFU, shared_.step[ring][group_], 0);
    if ((next_.flags & kMasked) != 0) {
      words_ = *reinterpret_cast<const uint2*>(shared_.words[ring] +
                                               word_index(next_.flags >> kStripShift, thread_));
    }
    if ((next_.flags & kOpens) != 0) {
      ++next_.item;
      wait(shared_.q_full[next_.item % Config::kItemSlots], next_.item / Config::kItemSlots % 2);
    }
  }

  /// Gives back the tiles of `next_`, which this warpgroup does not need, and with the last of
  /// them the item, unless it is `item`, of which it ran a step.
  __device__ __forceinline__ void skip_step(std::uint32_t item) {
    const Running skipped = next_;
    wait_for_v(skipped);
    wait_turn();
    pass_turn(group_);
    release_k(skipped.position);
    release_v(skipped.position);
    advance();
    const bool item_over = next_.item != skipped.item || (next_.flags & kEnd) != 0;
    if (item_over && skipped.item != item) release_q(skipped.item);
    wait_for_warps();
  }

  /// The scores of `next_`, with nothing else in flight; `item` is that of the step before it.
  __device__ __forceinline__ void begin_scores(std::uint32_t item) {
    first_ = next_.item != item;
    issue_scores(q_descriptor(), k_descriptor());
    ptx::wgmma_wait<0>();
    finish_scores();
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
    return Config::kKeyBlocks == 2 && (step.flags & kSecond) != 0 ? kQuadrant * 128 : 0;
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
      multiply_scores<Config>(s_, q, k);
    } else {
      multiply_scores<Config>(reinterpret_cast<float(&)[32]>(s_), q, k);
    }
  }

  __device__ __forceinline__ void issue_output(const Running& now, std::uint64_t v, bool keep) {
    const auto pass = [this] { pass_turn(group_); };
    if (Config::kBlockN == 128 && (now.flags & kWide) != 0) {
      multiply_output<Config, Config::kBlockN / 16>(o_, p_bits_, v, keep, pass);
    } else {
      multiply_output<Config, 4>(o_, p_bits_, v, keep, pass);
    }
  }

  /// Writes a whole item; then its slot is free.
  __device__ __forceinline__ void finish_item(std::uint32_t item, const RowState& row) {
    int thread = thread_;
    if constexpr (!Config::kOverlapItems) thread = ptx::thread_again() % 128;
    write_item<Config>(p_, shared_, item % Config::kItemSlots, group_, thread, row, o_);
    release_q(item);
  }

  const ForwardParams& p_;
  SharedStorage<Config>& shared_;
  int group_;
  int thread_;
  float scale_log2_;
  Running next_{};      // the step that comes next
  bool first_ = false;  // of its item, for this warpgroup
  uint2 words_{};       // mask bits of next_
  RowState row_{};
  bool steady_ = false;
  float s_[kScores];
  float o_[kOutputs];
  std::uint32_t p_bits_[kScores / 2];
};

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// A computing warpgroup of a backward kernel. Per step of 64 x 64 scores:
//
//     S' and dP' are in flight       P' = exp2(S' - lse)        under dP'
//     dV += P' dO   (over keys)      dS' = P' * (dP' - delta)   under it
//     dQ or dK += dS' B1             with S' and dP' of the next step queued behind it
//
// P' and dS' never leave the registers: an accumulator is, rounded, a left factor.
#pragma once

#include "cuda/hopper/backward_config.cuh"
#include "cuda/hopper/backward_products.cuh"
#include "cuda/hopper/mask.cuh"
#include "cuda/hopper/store_rows.cuh"
#include "cuda/hopper/transposed_bits.cuh"

namespace attn::hopper {

/// Where a warpgroup stands in the stream of steps and items.
template <class Config>
class BackwardStream {
 public:
  __device__ BackwardStream(BackwardStorage<Config>& shared, int group)
      : shared_(shared), group_(group) {}

  [[nodiscard]] __device__ __forceinline__ std::uint32_t slot() const {
    return position % Config::kStages;
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t item_slot() const {
    return item % Config::kItemSlots;
  }

  /// Waits for the step at `position` and reads what is to be done in it. One lane does, which
  /// later arrives for its warp, and the shuffles tell the compiler that branches are uniform.
  __device__ __forceinline__ void look() {
    wait(shared_.step_full[slot()], position / Config::kStages % 2);
    StepInfo step{};
    if (threadIdx.x % 32 == 0) step = shared_.step[slot()][group_];
    flags = __shfl_sync(0xFFFFFFFFU, step.flags, 0);
    bits = __shfl_sync(0xFFFFFFFFU, step.bits, 0);
  }
  __device__ __forceinline__ void release(std::uint32_t step_slot) {
    __syncwarp();
    if (threadIdx.x % 32 < kArrivals) arrive(shared_.step_empty[step_slot]);
  }

  __device__ __forceinline__ void wait_for_item() {
    wait(shared_.item_full[item_slot()], item / Config::kItemSlots % 2);
  }
  [[nodiscard]] __device__ __forceinline__ BackwardItemInfo item_info() const {
    BackwardItemInfo info{};
    if (threadIdx.x % 32 == 0) info = shared_.item[item_slot()];
    return {__shfl_sync(0xFFFFFFFFU, info.row_tile, 0), __shfl_sync(0xFFFFFFFFU, info.batch, 0),
            __shfl_sync(0xFFFFFFFFU, info.head, 0), 0};
  }
  /// Gives back the tiles of the item and moves on to the next.
  __device__ __forceinline__ void release_item() {
    // The next tiles come here through TMA: order them behind the ordinary accesses before.
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    __syncwarp();
    if (threadIdx.x % 32 < kArrivals) arrive(shared_.item_empty[item_slot()]);
    ++item;
  }

  std::uint32_t position = 0;  ///< of the step looked at: slot and parity follow from it
  std::uint32_t item = 0;
  std::uint32_t flags = 0;  ///< of the step at `position`
  std::uint32_t bits = 0;   ///< and the place of its bits

 private:
  BackwardStorage<Config>& shared_;
  int group_;
};

/// One item of a pass.
template <class Config, Pass kPass>
class BackwardComputer {
 public:
  __device__ BackwardComputer(const BackwardParams& p, BackwardStorage<Config>& shared, int group,
                              BackwardStream<Config>& stream)
      : p_(p),
        shared_(shared),
        stream_(stream),
        group_(group),
        thread_(static_cast<int>(threadIdx.x % 128)),
        scale_log2_(p.scale_log2),
        opened_at_(stream.position) {}

  /// From its first step, which has been looked at, to behind its last.
  __device__ __forceinline__ void run() {
    open_item();
    sum_up();
    // Where all warps read the item's tiles as left factors; else each has read its own rows alone.
    if constexpr (!kInRegisters) ptx::named_barrier_wait(1 + group_, 128);
    write_item();
  }

 private:
  using Element = typename Config::Element;
  static constexpr bool kKeys = kPass == Pass::keys;
  static constexpr bool kInRegisters = Config::template kStationaryInRegisters<kPass>;
  static constexpr int kColumns = Config::kHeadDim / 2;  ///< registers of 64 x head_dim sums
  static constexpr int kSteps = Config::kHeadDim / 16;   ///< wgmmas of a product over head_dim

  /// Moves on to the item's next step that this warpgroup must run, and gives back those before it.
  /// False when it looks at none: behind the last, or from `limit` on.
  __device__ __forceinline__ bool find(std::uint32_t limit) {
    while (!finished_ && stream_.position != limit) {
      stream_.look();
      if ((stream_.flags & kEnd) != 0 ||
          ((stream_.flags & kOpens) != 0 && stream_.position != opened_at_)) {
        finished_ = true;
        break;
      }
      finished_ = (stream_.flags & kLast) != 0;
      if ((stream_.flags & kRun) != 0) {
        if ((stream_.flags & kMasked) != 0) word_ = load_word(stream_.slot());
        return true;
      }
      stream_.release(stream_.slot());
      ++stream_.position;
    }
    return false;
  }

  __device__ __forceinline__ void open_item() {
    stream_.wait_for_item();
    if constexpr (kInRegisters) {
      load_left<kSteps>(a1_, shared_.a1[stream_.item_slot()][group_], thread_);
      load_left<kSteps>(a2_, shared_.a2[stream_.item_slot()][group_], thread_);
    }
    if constexpr (!kKeys) {
      const BackwardItemInfo info = stream_.item_info();
      const std::int64_t first = (std::int64_t{info.batch} * p_.heads + info.head) * p_.padded_q +
                                 info.row_tile * kBackwardRows + group_ * kQuadrant +
                                 thread_ / 32 * 16 + thread_ % 32 / 4;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        row_lse_[r] = __ldg(p_.lse_log2 + first + 8 * r);
        row_delta_[r] = __ldg(p_.delta + first + 8 * r);
      }
    }
#pragma unroll
    for (float& x : sum1_) x = 0;
    if constexpr (kKeys) {
#pragma unroll
      for (float& x : sum2_) x = 0;
    }
  }

  __device__ __forceinline__ void sum_up() {
    constexpr std::uint32_t kNoLimit = 0xFFFFFFFFU;
    while (find(kNoLimit)) {
      start_scores();
      start_slopes();
      run_steps();
    }
  }

  /// Of the step at the stream's position.
  __device__ __forceinline__ void start_scores() {
    multiply_scores<Element, kSteps, kInRegisters>(s_, a1_, shared_.a1[stream_.item_slot()][group_],
                                                   shared_.b1[stream_.slot()]);
  }
  __device__ __forceinline__ void start_slopes() {
    multiply_scores<Element, kSteps, kInRegisters>(d_, a2_, shared_.a2[stream_.item_slot()][group_],
                                                   shared_.b2[stream_.slot()]);
  }

  /// Goes on to the next step that can come before the one at the stream's position is given back:
  /// less than a whole round of the ring later.
  __device__ __forceinline__ bool find_next() {
    const std::uint32_t limit = stream_.position + Config::kStages;
    ++stream_.position;
    return find(limit);
  }

  /// Runs the step whose products are in flight and those that follow it closely.
  __device__ __forceinline__ void run_steps() {
    for (;;) {
      const std::uint32_t now = stream_.slot();
      const bool masked = (stream_.flags & kMasked) != 0;
      const std::uint32_t word = word_;
      bool more = false;  // the next step has been found
      if constexpr (Config::kDeepRing) more = find_next();
      ptx::wgmma_wait<1>();
      ptx::pin(s_);
      if (masked) {
        weigh<true>(now, word);
      } else {
        weigh<false>(now, word);
      }
      if constexpr (kKeys) {
        pack_left<Element>(left_, s_);
        multiply_sum<Element>(sum2_, left_, shared_.b2[now]);
      }
      if constexpr (!Config::kDeepRing) more = find_next();
      ptx::wgmma_wait<kKeys ? 1 : 0>();
      ptx::pin(d_);
      differentiate(masked, now, word);
      if constexpr (kKeys) {
        ptx::wgmma_wait<0>();
        ptx::pin(sum2_);
        ptx::pin(left_);
      }
      pack_left<Element>(left_, d_);
      if (!more) {
        multiply_sum<Element>(sum1_, left_, shared_.b1[now]);
        ptx::wgmma_wait<0>();
        ptx::pin(sum1_);
        stream_.release(now);
        return;
      }
      multiply_sum<Element>(sum1_, left_, shared_.b1[now]);
      start_scores();
      ptx::wgmma_wait<1>();
      ptx::pin(sum1_);
      ptx::pin(left_);
      stream_.release(now);
      // Behind the sum, not with it: else ptxas runs out of registers (C7512).
      start_slopes();
    }
  }

  /// This thread's mask bits of a step; `allowed` reads them.
  __device__ __forceinline__ std::uint32_t load_word(std::uint32_t step_slot) {
    if constexpr (kKeys) {
      if constexpr (Config::kBitsInShared) {
        return transposed_word(shared_.bits[step_slot], group_, thread_);
      }
      return transposed_word(p_.columns.bits + std::int64_t{stream_.bits} * kStripWords, group_,
                             thread_);
    } else {
      return __ldg(p_.mask.bits + word_index(stream_.bits / 2, thread_) + stream_.bits % 2);
    }
  }
  static __device__ __forceinline__ bool allowed(std::uint32_t word, int i) {
    return (word >> (kKeys ? transposed_bit(i) : i) & 1U) != 0;
  }

  /// s_ becomes P'; what is masked becomes 0, whatever it was.
  template <bool kMaskedStep>
  __device__ __forceinline__ void weigh(std::uint32_t step_slot, std::uint32_t word) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float2 lse{};
      if constexpr (kKeys) lse = column_pair(shared_.lse_log2[step_slot], j, thread_);
#pragma unroll
      for (int i = 4 * j; i < 4 * j + 4; ++i) {
        const float base = !kKeys ? row_lse_[i / 2 % 2] : i % 2 == 0 ? lse.x : lse.y;
        s_[i] = ptx::exp2_approx(fmaf(s_[i], scale_log2_, -base));
        if (kMaskedStep && !allowed(word, i)) s_[i] = 0;
      }
    }
  }

  /// d_ becomes dS' / scale.
  __device__ __forceinline__ void differentiate(bool masked, std::uint32_t step_slot,
                                                std::uint32_t word) {
    if (masked) {
      differentiate<true>(step_slot, word);
    } else {
      differentiate<false>(step_slot, word);
    }
  }
  template <bool kMaskedStep>
  __device__ __forceinline__ void differentiate(std::uint32_t step_slot, std::uint32_t word) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float2 delta{};
      if constexpr (kKeys) delta = column_pair(shared_.delta[step_slot], j, thread_);
#pragma unroll
      for (int i = 4 * j; i < 4 * j + 4; ++i) {
        const float base = !kKeys ? row_delta_[i / 2 % 2] : i % 2 == 0 ? delta.x : delta.y;
        d_[i] = s_[i] * (d_[i] - base);
        if (kMaskedStep && !allowed(word, i)) d_[i] = 0;
      }
    }
  }

  /// The tiles of the item become staging places.
  __device__ __forceinline__ void write_item() {
    const BackwardItemInfo info = stream_.item_info();
    if constexpr (kKeys) {
      write(sum1_, p_.scale, shared_.a1[stream_.item_slot()][group_], info, p_.dk, p_.n_k);
      write(sum2_, 1.0F, shared_.a2[stream_.item_slot()][group_], info, p_.dv, p_.n_k);
    } else {
      write(sum1_, p_.scale, shared_.a1[stream_.item_slot()][group_], info, p_.dq, p_.n_q);
    }
    stream_.release_item();
  }

  /// Rows leave whole, by way of shared memory.
  __device__ __forceinline__ void write(float (&sum)[kColumns], float scale, std::uint16_t* tile,
                                        const BackwardItemInfo& info, const Written& to,
                                        std::int32_t n_rows) {
    const int warp = thread_ / 32;
    const int lane = thread_ % 32;
    float finite = 0;
#pragma unroll
    for (float& x : sum) {
      x *= scale;
      finite += x * 0.0F;
    }
    if (__any_sync(0xFFFFFFFFU, finite != 0) && lane == 0) {
      p_.state->redo[kKeys ? 1 : 0] = 1;
    }
    auto* const out = static_cast<std::uint16_t*>(to.data) + info.batch * to.strides.batch +
                      info.head * to.strides.head;
    const std::int32_t first_row = info.row_tile * kBackwardRows + group_ * kQuadrant + warp * 16;
    BlockRows rows{};
    if constexpr (Config::kRows == Rows::in_boxes) {
      rows = shared_.rows[stream_.item_slot()][group_];
    }
    // What the other pass will want stays in the cache.
    store_rows<Element, Config::kHeadDim, kQuadrant>(
        sum, tile + warp * 16 * kPanel, lane, [&](int r) -> std::uint16_t* {
          const std::int32_t i = first_row + r;
          if (i >= n_rows) return nullptr;
          const std::int64_t row = Config::kRows == Rows::in_boxes
                                       ? row_in(rows, warp * 16 + r, to.order, i)
                                   : to.order == nullptr ? i
                                                         : __ldg(to.order + i);
          return out + row * to.strides.row;
        });
  }

  const BackwardParams& p_;
  BackwardStorage<Config>& shared_;
  BackwardStream<Config>& stream_;
  int group_;
  int thread_;
  float scale_log2_;
  std::uint32_t opened_at_;
  bool finished_ = false;   ///< no step of the item is left to look at
  std::uint32_t word_ = 0;  ///< this thread's bits of the step that `find` found
  float row_lse_[2], row_delta_[2];
  float s_[32], d_[32];
  float sum1_[kColumns];
  float sum2_[kKeys ? kColumns : 1];
  std::uint32_t left_[16];  ///< P' or dS', rounded
  std::uint32_t a1_[kInRegisters ? kSteps * 4 : 1];
  std::uint32_t a2_[kInRegisters ? kSteps * 4 : 1];
};

/// Of the items of both passes what warpgroup `group` has to compute.
template <class Config>
__device__ __forceinline__ void compute_gradients(const BackwardParams& p,
                                                  BackwardStorage<Config>& shared, int group) {
  BackwardStream<Config> stream(shared, group);
  for (;;) {
    stream.look();
    if ((stream.flags & kEnd) != 0) return;
    if ((stream.flags & kOverKeys) != 0) {
      BackwardComputer<Config, Pass::keys>(p, shared, group, stream).run();
    } else {
      BackwardComputer<Config, Pass::rows>(p, shared, group, stream).run();
    }
  }
}

}  // namespace attn::hopper

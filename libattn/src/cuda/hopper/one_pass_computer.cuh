// SPDX-License-Identifier: Apache-2.0
//
// A computing warpgroup of the one-pass kernel. In step t, with the products in flight under each
// piece of work:
//
//     Pt = exp2(St - lse)               dP(t)
//     dSt = Pt * (dPt - delta)          dV += Pt dO
//     dSt to shared memory              dQ(t - 1) = dS(t - 1) K
//     dQ(t - 1) to shared memory        dK += dSt Q
//     the next record                   S(t + 1)
//
// dQ comes a step late, so that a warpgroup may be most of a step ahead of the other, whose dS it
// needs; at head_dim 128 its accumulators are those of S.
#pragma once

#include "cuda/hopper/backward_products.cuh"
#include "cuda/hopper/one_pass_config.cuh"
#include "cuda/hopper/store_rows.cuh"
#include "cuda/hopper/transposed_bits.cuh"

namespace attn::hopper {

template <class Config>
class OnePassComputer {
 public:
  __device__ OnePassComputer(const BackwardParams& p, OnePassStorage<Config>& shared, int group)
      : p_(p), shared_(shared), group_(group), scale_log2_(p.scale_log2) {}

  __device__ __forceinline__ void run() {
    float x[32], y[32];
    for (std::uint32_t item = 0;; ++item) {
      look();
      if ((flags_ & kStepEnd) != 0) break;
      side_ = item % 2;
      wait_for(shared_.k_full, side_);
#pragma unroll
      for (int i = 0; i < kColumns; ++i) dk_[i] = dv_[i] = 0;
      if ((flags_ & kStepRuns) != 0) {
        load_keys(k_, shared_.keys[side_]);
        start_scores(x);
        for (bool more = step<true>(x, y); more;) more = step<false>(x, y);
      } else {
        wait_for(shared_.v_full, side_);
        give_back(shared_.v_empty);
        release(position_ % Config::kStages);
        ++position_;
      }
      const BackwardItemInfo info = item_info();
      give_back(shared_.k_empty);
      write(dv_, 1.0F, info, p_.dv);
      write(dk_, p_.scale, info, p_.dk);
    }
    // To both adding threads.
    for (std::uint32_t n = 0; n < 2; ++n) hand_over(steps_ + n, [] {});
  }

 private:
  /// Asked for each time, because registers are scarce.
  static __device__ __forceinline__ int thread() {
    return static_cast<int>(threadIdx.x % 128);
  }

  static __device__ __forceinline__ void wait_for(std::uint64_t& barrier, std::uint32_t parity) {
    if constexpr (Config::kVotes) {
      wait_warp(barrier, parity);
    } else {
      wait(barrier, parity);
    }
  }

  using Element = typename Config::Element;
  static constexpr int kColumns = Config::kHeadDim / 2;  ///< registers of 64 x head_dim sums
  static constexpr int kSteps = Config::kHeadDim / 16;   ///< wgmmas of a product over head_dim
  static constexpr int kDq = Config::kDqColumns / 2;     ///< registers of a step's dQ

  /// dQ of a step has registers of its own where it is not as large as S, in those of S else.
  static constexpr bool kDqApart = kDq != 32;
  __device__ __forceinline__ float (&dq_of(float (&x)[32]))[kDq] {
    if constexpr (kDqApart) {
      return dq_;
    } else {
      return x;
    }
  }

  /// Waits for the step at position_ and reads its record: one lane does, and the shuffles tell
  /// the compiler that branches are uniform.
  __device__ __forceinline__ void look() {
    const std::uint32_t slot = position_ % Config::kStages;
    wait_for(shared_.step_full[slot], position_ / Config::kStages % 2);
    StepRecord record{};
    if (thread() % 32 == 0) record = shared_.step[slot];
    flags_ = __shfl_sync(0xFFFFFFFFU, record.flags, 0);
    const std::uint32_t bits = __shfl_sync(0xFFFFFFFFU, record.bits, 0);
    word_ = 0;
    if (state() == kPartial) {
      word_ = transposed_word(p_.columns.bits + std::int64_t{bits} * kStripWords, group_, thread());
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t state() const {
    return flags_ >> (2 * group_) & 3U;
  }
  /// Says that this warp is through.
  __device__ __forceinline__ void give_back(std::uint64_t& barrier) {
    __syncwarp();
    if (thread() % 32 < kArrivals) arrive(barrier);
  }
  __device__ __forceinline__ void release(std::uint32_t slot) {
    give_back(shared_.step_empty[slot]);
  }
  [[nodiscard]] __device__ __forceinline__ BackwardItemInfo item_info() const {
    BackwardItemInfo info{};
    if (thread() % 32 == 0) info = shared_.item;
    return {__shfl_sync(0xFFFFFFFFU, info.row_tile, 0), __shfl_sync(0xFFFFFFFFU, info.batch, 0),
            __shfl_sync(0xFFFFFFFFU, info.head, 0), 0};
  }

  /// This warpgroup's tile of K or V, where it stays in registers.
  template <int kCount, class Tiles>
  __device__ __forceinline__ void load_keys(std::uint32_t (&a)[kCount], const Tiles& tiles) {
    if constexpr (Config::kKeysInRegisters) load_left<kSteps>(a, tiles[group_], thread());
  }

  /// Of the step at position_, whose record has been read.
  __device__ __forceinline__ void start_scores(float (&s)[32]) {
    multiply_scores<Element, kSteps, Config::kKeysInRegisters>(
        s, k_, shared_.keys[side_][group_], shared_.q[position_ % Config::kStages]);
  }
  __device__ __forceinline__ void start_slopes(float (&d)[32]) {
    multiply_scores<Element, kSteps, Config::kKeysInRegisters>(
        d, v_, shared_.keys[side_ ^ 1][group_], shared_.d_o[position_ % Config::kStages]);
  }

  /// The step at position_, whose St is in flight to x and, but for the first of an item, dPt to y.
  /// Leaves with those of the next in flight; or, behind the last, false and nothing in flight.
  template <bool kFirst>
  __device__ __forceinline__ bool step(float (&x)[32], float (&y)[32]) {
    const std::uint32_t slot = position_ % Config::kStages;
    const bool masked = state() != kFull;
    const bool last = (flags_ & kStepLast) != 0;
    float(&dq)[kDq] = dq_of(x);

    ptx::wgmma_wait<kFirst ? 0 : 1>();
    ptx::pin(x);
    if (masked) {
      weigh<true>(x, slot);
    } else {
      weigh<false>(x, slot);
    }
    if constexpr (kFirst) {
      // V comes last of an item's tiles.
      wait_for(shared_.v_full, side_);
      load_keys(v_, shared_.keys[side_ ^ 1]);
      start_slopes(y);
    }
    pack_left<Element>(left_, x);
    multiply_sum<Element>(dv_, left_, shared_.d_o[slot]);
    const std::uint32_t word = word_;
    ++position_;
    if constexpr (Config::kDeepRing) {
      if (!last) look();
    }
    ptx::wgmma_wait<1>();
    ptx::pin(y);
    if (last) give_back(shared_.v_empty);
    if (masked) {
      differentiate<true>(y, x, slot, word);
    } else {
      differentiate<false>(y, x, slot, word);
    }
    if constexpr (kFirst) {
      ptx::wgmma_wait<0>();
    } else {
      start_dq(dq);
      ptx::wgmma_wait<1>();
    }
    ptx::pin(dv_);
    ptx::pin(left_);
    pack_left<Element>(left_, y);
    store_left(shared_.ds[steps_ % 2] + group_ * kQuadrant * kPanel);
    // What the tensor cores read next was written by ordinary stores.
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    multiply_sum<Element>(dk_, left_, shared_.q[slot]);
    if constexpr (!kFirst) {
      ptx::wgmma_wait<1>();
      ptx::pin(dq);
    }
    // Says both that this dS stands and that this warpgroup is through with the one before.
    give_back(shared_.ds_full);
    ++steps_;
    if constexpr (!kFirst) hand_over(steps_ - 2, [&] { store_dq(dq); });
    if (!last) {
      if constexpr (!Config::kDeepRing) look();
      start_scores(x);
      ptx::wgmma_wait<1>();
      ptx::pin(dk_);
      ptx::pin(left_);
      release(slot);
      start_slopes(y);
      return true;
    }
    ptx::wgmma_wait<0>();
    ptx::pin(dk_);
    ptx::pin(left_);
    release(slot);
    start_dq(dq);
    ptx::wgmma_wait<0>();
    ptx::pin(dq);
    hand_over(steps_ - 1, [&] { store_dq(dq); });
    return false;
  }

  /// dq = this warpgroup's half of the columns of dS K, over all 128 keys, of the step before the
  /// steps_-th, as one group.
  __device__ __forceinline__ void start_dq(float (&dq)[kDq]) {
    wait_for(shared_.ds_full, (steps_ + 1) % 2);
    const std::uint64_t left =
        ptx::matrix_descriptor(shared_address(shared_.ds[(steps_ + 1) % 2]), 16);
    // 64 columns are a panel; 32 are half of one.
    const int column = group_ * Config::kDqColumns;
    const std::uint64_t right = ptx::matrix_descriptor(
        shared_address(shared_.keys[side_][0]) +
            static_cast<std::uint32_t>(column / kPanel * kQuadrant * 128 + column % kPanel * 2),
        16);
    ptx::pin(dq);
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < kBackwardRows / 16; ++step) {
      const int tile = step / 4 * static_cast<int>(Config::kTileBytes);
      ptx::wgmma_ss_columns<Element>(dq, left + ((step * 2048) >> 4),
                                     right + ((tile + step % 4 * 2048) >> 4), step != 0);
    }
    ptx::wgmma_commit();
  }

  /// left_ as 64 rows of keys by 64 queries.
  __device__ __forceinline__ void store_left(std::uint16_t* tile) {
    const int lane = thread() % 32;
    const int in_matrix = lane % 8;
    const int row = thread() / 32 * 16 + in_matrix + lane / 8 % 2 * 8;
    const std::uint32_t base = shared_address(tile) + static_cast<std::uint32_t>(row * 128);
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const int chunk = 2 * step + lane / 16;
      ptx::store_matrix_x4(base + ((chunk ^ in_matrix) << 4), left_[4 * step], left_[4 * step + 1],
                           left_[4 * step + 2], left_[4 * step + 3]);
    }
  }

  __device__ __forceinline__ void store_dq(const float (&dq)[kDq]) {
    auto* const to = reinterpret_cast<float4*>(shared_.dq[group_]) + thread();
#pragma unroll
    for (int j = 0; j < kDq / 4; ++j) {
      to[j * 128] = {dq[4 * j], dq[4 * j + 1], dq[4 * j + 2], dq[4 * j + 3]};
    }
  }

  /// Fills this warpgroup's half of the place that the adding threads empty, for the n-th time.
  template <class Fill>
  __device__ __forceinline__ void hand_over(std::uint32_t n, Fill fill) {
    wait_for(shared_.dq_empty, n % 2 ^ 1);
    fill();
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    give_back(shared_.dq_full[n % 2]);
  }

  static __device__ __forceinline__ bool allowed(std::uint32_t word, int i) {
    return (word >> transposed_bit(i) & 1U) != 0;
  }

  /// s becomes Pt; what is masked becomes 0, whatever it was.
  template <bool kMaskedStep>
  __device__ __forceinline__ void weigh(float (&s)[32], std::uint32_t slot) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float2 lse = column_pair(shared_.lse_log2[slot], j, thread());
#pragma unroll
      for (int i = 4 * j; i < 4 * j + 4; ++i) {
        s[i] = ptx::exp2_approx(fmaf(s[i], scale_log2_, -(i % 2 == 0 ? lse.x : lse.y)));
        if (kMaskedStep && !allowed(word_, i)) s[i] = 0;
      }
    }
  }

  /// d becomes dSt / scale.
  template <bool kMaskedStep>
  __device__ __forceinline__ void differentiate(float (&d)[32], const float (&weights)[32],
                                                std::uint32_t slot, std::uint32_t word) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float2 delta = column_pair(shared_.delta[slot], j, thread());
#pragma unroll
      for (int i = 4 * j; i < 4 * j + 4; ++i) {
        d[i] = weights[i] * (d[i] - (i % 2 == 0 ? delta.x : delta.y));
        if (kMaskedStep && !allowed(word, i)) d[i] = 0;
      }
    }
  }

  /// Rows leave whole, 64 columns at a time, by way of this warp's rows of the dS that nobody
  /// reads.
  __device__ __forceinline__ void write(float (&sum)[kColumns], float scale,
                                        const BackwardItemInfo& info, const Written& to) {
    const int warp = thread() / 32;
    const int lane = thread() % 32;
    float finite = 0;
#pragma unroll
    for (float& x : sum) {
      x *= scale;
      finite += x * 0.0F;
    }
    if (__any_sync(0xFFFFFFFFU, finite != 0) && lane == 0) p_.state->redo[1] = 1;
    auto* const out = static_cast<std::uint16_t*>(to.data) + info.batch * to.strides.batch +
                      info.head * to.strides.head;
    const std::int32_t first_row = info.row_tile * kBackwardRows + group_ * kQuadrant + warp * 16;
    std::uint16_t* const staging =
        shared_.ds[steps_ % 2] + (group_ * kQuadrant + warp * 16) * kPanel;
#pragma unroll
    for (int panel = 0; panel < Config::kHeadDim / kPanel; ++panel) {
      __syncwarp();
      store_rows<Element, kPanel, kQuadrant>(reinterpret_cast<const float(&)[32]>(sum[32 * panel]),
                                             staging, lane, [&](int r) -> std::uint16_t* {
                                               const std::int32_t i = first_row + r;
                                               if (i >= p_.n_k) return nullptr;
                                               const std::int64_t row =
                                                   to.order == nullptr ? i : __ldg(to.order + i);
                                               return out + row * to.strides.row + panel * kPanel;
                                             });
    }
    __syncwarp();
  }

  const BackwardParams& p_;
  OnePassStorage<Config>& shared_;
  int group_;
  std::uint32_t side_ = 0;  ///< place of the item's K; V is at the other
  float scale_log2_;
  std::uint32_t position_ = 0;  ///< of the step looked at: slot and parity follow from it
  std::uint32_t steps_ = 0;     ///< that have been run
  std::uint32_t flags_ = 0;     ///< of the step looked at
  std::uint32_t word_ = 0;      ///< this thread's mask bits of it
  float dk_[kColumns], dv_[kColumns];
  float dq_[kDqApart ? kDq : 1] = {};
  std::uint32_t left_[16];  ///< Pt or dSt, rounded
  std::uint32_t k_[Config::kKeysInRegisters ? kSteps * 4 : 1];
  std::uint32_t v_[Config::kKeysInRegisters ? kSteps * 4 : 1];
};

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// The pass over keys that makes dQ too: five products a step where two passes need seven, for masks
// in which most key tiles visit most queries. Each step's share of dQ is summed up outside, in
// fp32 (DqSums):
//
//     dS' of both warpgroups -> shared memory     a barrier of both
//     dQ = dS K, each half of the columns         while S' of the next step is queued behind it
//     -> shared memory -> one thread adds it to the sums by a bulk reduction
//
// Ordered, that thread waits until the key tiles before this one have added theirs: the order is
// that in which items are handed out, so the first of those under way never waits, and nobody waits
// for ever. Whoever starts an item later stays behind by the time that one addition takes.
#pragma once

#include <cuda/atomic>

#include "cuda/hopper/backward_computer.cuh"

namespace attn::hopper {

template <class Config>
class FusedComputer : private BackwardComputer<Config> {
 public:
  using BackwardComputer<Config>::BackwardComputer;

  __device__ __forceinline__ void run() {
    for (;;) {
      wait(shared_.step_full[this->slot()], this->parity());
      flags_ = this->flags();
      if ((flags_ & kEnd) != 0) break;
      this->open_item();
      // An item without steps has one that nobody runs.
      if ((flags_ & kRun) != 0) {
        run_steps();
      } else {
        this->release(this->slot());
        ++position_;
      }
      // The other warpgroup has read this one's keys.
      ptx::named_barrier_wait(kBothBarrier, 256);
      this->write_item();
      ++item_;
    }
    hand_over({kNoPlace, 0}, [] {});
  }

 private:
  using Base = BackwardComputer<Config>;
  using Element = typename Config::Element;
  using Base::a1_;
  using Base::a2_;
  using Base::d_;
  using Base::flags_;
  using Base::group_;
  using Base::item_;
  using Base::left_;
  using Base::opened_at_;
  using Base::p_;
  using Base::position_;
  using Base::s_;
  using Base::shared_;
  using Base::sum1_;
  using Base::sum2_;
  using Base::thread_;
  static constexpr int kBothBarrier = 3;
  static constexpr int kHalf = Config::kHeadDim / 4;  ///< registers of 64 x head_dim / 2 sums

  __device__ __forceinline__ void run_steps() {
    this->multiply_scores(s_, a1_, shared_.a1[this->item_slot()][group_], shared_.b1[this->slot()]);
    this->multiply_scores(d_, a2_, shared_.a2[this->item_slot()][group_], shared_.b2[this->slot()]);
    for (;;) {
      const std::uint32_t now = this->slot();
      const DqTurn turn = shared_.turns.step[now];
      const bool masked = (flags_ & (kMasked | kBlank)) != 0;
      const std::uint32_t word = (flags_ & kMasked) != 0 ? this->load_word(now) : 0;
      ptx::wgmma_wait<1>();
      ptx::pin(s_);
      if (masked) {
        this->template weigh<true>(now, word);
      } else {
        this->template weigh<false>(now, word);
      }
      this->pack(s_);
      this->multiply(sum2_, shared_.b2[now]);
      ptx::wgmma_wait<1>();
      ptx::pin(d_);
      if (masked) {
        this->template differentiate<true>(now, word);
      } else {
        this->template differentiate<false>(now, word);
      }
      ptx::wgmma_wait<0>();
      ptx::pin(sum2_);
      ptx::pin(left_);
      this->pack(d_);
      std::uint16_t* const ds = shared_.ds[steps_++ % 2];
      store_left(ds + group_ * kQuadrant * kPanel);
      // What the tensor cores read next was written by ordinary stores.
      cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
      this->multiply(sum1_, shared_.b1[now]);
      // Behind it the other warpgroup's dS' stands too; and since that warpgroup has come here, it
      // is through with dQ of the step before, whose dS' the next step will overwrite.
      ptx::named_barrier_wait(kBothBarrier, 256);
      float(&dq)[kHalf] = reinterpret_cast<float(&)[kHalf]>(d_);
      multiply_dq(dq, ds);
      ++position_;
      wait(shared_.step_full[this->slot()], this->parity());
      flags_ = this->flags();
      ptx::wgmma_wait<0>();
      ptx::pin(sum1_);
      ptx::pin(left_);
      ptx::pin(dq);
      this->release(now);
      if ((flags_ & (kEnd | kOpens)) != 0) {
        hand_over(turn, [&] { store_dq(dq); });
        return;
      }
      this->multiply_scores(s_, a1_, shared_.a1[this->item_slot()][group_],
                            shared_.b1[this->slot()]);
      hand_over(turn, [&] { store_dq(dq); });
      this->multiply_scores(d_, a2_, shared_.a2[this->item_slot()][group_],
                            shared_.b2[this->slot()]);
    }
  }

  /// left_ as 64 rows of keys by 64 queries.
  __device__ __forceinline__ void store_left(std::uint16_t* tile) {
    const int lane = thread_ % 32;
    const int in_matrix = lane % 8;
    const int row = thread_ / 32 * 16 + in_matrix + lane / 8 % 2 * 8;
    const std::uint32_t base = shared_address(tile) + static_cast<std::uint32_t>(row * 128);
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const int chunk = 2 * step + lane / 16;
      ptx::store_matrix_x4(base + ((chunk ^ in_matrix) << 4), left_[4 * step], left_[4 * step + 1],
                           left_[4 * step + 2], left_[4 * step + 3]);
    }
  }

  /// This warpgroup's half of the columns of dS K, over all 128 keys, as one group.
  __device__ __forceinline__ void multiply_dq(float (&dq)[kHalf], const std::uint16_t* ds) {
    const std::uint64_t left = ptx::matrix_descriptor(shared_address(ds), 16);
    // 64 columns are a panel; 32 are half of one.
    const int column = group_ * Config::kHeadDim / 2;
    const std::uint64_t right = ptx::matrix_descriptor(
        shared_address(shared_.a1[this->item_slot()][0]) +
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

  __device__ __forceinline__ void store_dq(const float (&dq)[kHalf]) {
    auto* const to = reinterpret_cast<float4*>(shared_.dq) + group_ * (kHalf / 4) * 128 + thread_;
#pragma unroll
    for (int j = 0; j < kHalf / 4; ++j) {
      to[j * 128] = {dq[4 * j], dq[4 * j + 1], dq[4 * j + 2], dq[4 * j + 3]};
    }
  }

  /// Fills the place that the adding thread empties.
  template <class Fill>
  __device__ __forceinline__ void hand_over(const DqTurn& turn, Fill fill) {
    wait(shared_.turns.dq_empty, handed_++ % 2 ^ 1);
    fill();
    if (group_ == 0 && thread_ == 0) shared_.turns.dq = turn;
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    __syncwarp();
    if (thread_ % 32 == 0) arrive(shared_.turns.dq_full);
  }

  std::uint32_t steps_ = 0;
  std::uint32_t handed_ = 0;
};

/// The thread that adds what the warpgroups hand over.
template <class Config>
__device__ void add_dq(const BackwardParams& p, BackwardStorage<Config>& shared) {
  constexpr int kFloats = kQuadrant * Config::kHeadDim;
  for (std::uint32_t n = 0;; ++n) {
    wait(shared.turns.dq_full, n % 2);
    const DqTurn turn = shared.turns.dq;
    if (turn.place == kNoPlace) break;
    const cuda::atomic_ref<std::uint32_t, cuda::thread_scope_device> added(
        p.dq_sums.turns[turn.place]);
    if (p.dq_sums.ordered) {
      while (added.load(cuda::memory_order_acquire) != turn.rank) {
      }
    }
    cuda::ptx::cp_reduce_async_bulk(
        cuda::ptx::space_global, cuda::ptx::space_shared, cuda::ptx::op_add,
        p.dq_sums.sums + std::int64_t{turn.place} * kFloats, shared.dq, kFloats * 4);
    cuda::ptx::cp_async_bulk_commit_group();
    cuda::ptx::cp_async_bulk_wait_group_read(cuda::ptx::n32_t<0>());
    arrive(shared.turns.dq_empty);
    if (p.dq_sums.ordered) {
      cuda::ptx::cp_async_bulk_wait_group(cuda::ptx::n32_t<0>());
      // From the bulk engine's writes to those of this thread.
      cuda::ptx::fence_proxy_async();
      added.store(turn.rank + 1, cuda::memory_order_release);
    }
  }
  cuda::ptx::cp_async_bulk_wait_group(cuda::ptx::n32_t<0>());
}

inline constexpr int kDqThreads = 256;

/// From the sums to dQ: scaled, rounded, a row of the caller's for each of the mask's.
template <class T, int kDim>
__global__ void __launch_bounds__(kDqThreads)
    write_dq_kernel(const __grid_constant__ BackwardParams p) {
  constexpr int kRowBytes = kDim * 2 + 16;  // banks
  __shared__ alignas(16) std::uint8_t rows[kQuadrant * kRowBytes];
  const int half = static_cast<int>(threadIdx.x) / 128;
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int row = thread / 32 * 16 + thread % 32 / 4;
  const auto places = static_cast<std::uint32_t>(p.batch * p.heads * p.columns.row_blocks);
  for (std::uint32_t place = blockIdx.x; place < places; place += gridDim.x) {
    const auto* const from = reinterpret_cast<const float4*>(p.dq_sums.sums) +
                             (std::int64_t{place} * 2 + half) * (kDim / 16) * 128 + thread;
    float finite = 0;
#pragma unroll
    for (int j = 0; j < kDim / 16; ++j) {
      float4 x = __ldcs(from + j * 128);
      x.x *= p.scale;
      x.y *= p.scale;
      x.z *= p.scale;
      x.w *= p.scale;
      finite += x.x * 0.0F + x.y * 0.0F + x.z * 0.0F + x.w * 0.0F;
      const int column = half * kDim / 2 + 8 * j + 2 * (thread % 4);
      *reinterpret_cast<std::uint32_t*>(rows + row * kRowBytes + column * 2) =
          ptx::pack<T>(x.x, x.y);
      *reinterpret_cast<std::uint32_t*>(rows + (row + 8) * kRowBytes + column * 2) =
          ptx::pack<T>(x.z, x.w);
    }
    if (finite != 0) p.state->redo[0] = 1;
    __syncthreads();
    const auto pair =
        static_cast<std::int32_t>(place / static_cast<std::uint32_t>(p.columns.row_blocks));
    const auto block =
        static_cast<std::int32_t>(place % static_cast<std::uint32_t>(p.columns.row_blocks));
    auto* const out = static_cast<std::uint16_t*>(p.dq.data) + pair / p.heads * p.dq.strides.batch +
                      pair % p.heads * p.dq.strides.head;
    constexpr int kChunks = kDim / 8;
    for (int c = static_cast<int>(threadIdx.x); c < kQuadrant * kChunks; c += kDqThreads) {
      const std::int32_t i = block * kQuadrant + c / kChunks;
      if (i >= p.n_q) break;
      const std::int64_t to = p.dq.order == nullptr ? i : __ldg(p.dq.order + i);
      *reinterpret_cast<uint4*>(out + to * p.dq.strides.row + c % kChunks * 8) =
          *reinterpret_cast<const uint4*>(rows + c / kChunks * kRowBytes + c % kChunks * 16);
    }
    __syncthreads();
  }
}

}  // namespace attn::hopper

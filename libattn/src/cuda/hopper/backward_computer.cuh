// SPDX-License-Identifier: Apache-2.0
//
// A computing warpgroup of a backward pass. Per step of 64 x 64 scores:
//
//     S' and dP' are in flight       P' = exp2(S' - lse)        under dP'
//     dV += P' dO   (over keys)      dS' = P' * (dP' - delta)   under it
//     dQ or dK += dS' B1             with S' and dP' of the next step queued behind it
//
// P' and dS' never leave the registers: an accumulator is, rounded, a left factor.
#pragma once

#include "cuda/hopper/backward_config.cuh"
#include "cuda/hopper/mask.cuh"
#include "cuda/hopper/transposed_bits.cuh"

namespace attn::hopper {

template <class Config>
class BackwardComputer {
 public:
  __device__ BackwardComputer(const BackwardParams& p, BackwardStorage<Config>& shared, int group)
      : p_(p),
        shared_(shared),
        group_(group),
        thread_(static_cast<int>(threadIdx.x % 128)),
        scale_log2_(p.scale_log2) {}

  __device__ __forceinline__ void run() {
    for (;;) {
      wait(shared_.step_full[slot()], parity());
      if ((flags() & kEnd) != 0) return;
      open_item();
      sum_up();
      ptx::named_barrier_wait(1 + group_, 128);
      write_item();
      ++item_;
    }
  }

 private:
  using Element = typename Config::Element;
  static constexpr int kColumns = Config::kHeadDim / 2;  ///< registers of 64 x head_dim sums
  static constexpr int kSteps = Config::kHeadDim / 16;   ///< wgmmas of a product over head_dim

  [[nodiscard]] __device__ __forceinline__ std::uint32_t slot() const {
    return position_ % Config::kStages;
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t parity() const {
    return position_ / Config::kStages % 2;
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t item_slot() const {
    return item_ % Config::kItemSlots;
  }
  /// The same in all lanes; the shuffle tells the compiler so, and branches stay uniform.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t flags() const {
    return __shfl_sync(0xFFFFFFFFU, shared_.step[slot()][group_].flags, 0);
  }
  __device__ __forceinline__ void release(std::uint32_t step_slot) {
    __syncwarp();
    if (thread_ % 32 == 0) arrive(shared_.step_empty[step_slot]);
  }

  enum class Found { step, end, none };

  /// Moves on to the item's next step that this warpgroup must run and gives back those before it.
  /// Looks at no step from `limit` on: none.
  __device__ __forceinline__ Found find(std::uint32_t limit) {
    for (; position_ != limit; ++position_) {
      wait(shared_.step_full[slot()], parity());
      flags_ = flags();
      if ((flags_ & kEnd) != 0 || ((flags_ & kOpens) != 0 && position_ != opened_at_)) {
        return Found::end;
      }
      if ((flags_ & kRun) != 0) return Found::step;
      release(slot());
    }
    return Found::none;
  }

  __device__ __forceinline__ void open_item() {
    opened_at_ = position_;
    wait(shared_.item_full[item_slot()], item_ / Config::kItemSlots % 2);
    if constexpr (Config::kStationaryInRegisters) {
      load_left(a1_, shared_.a1[item_slot()][group_]);
      load_left(a2_, shared_.a2[item_slot()][group_]);
    }
    if constexpr (!Config::kOverKeys) {
      const ItemInfo& info = shared_.item[item_slot()];
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
    if constexpr (Config::kOverKeys) {
#pragma unroll
      for (float& x : sum2_) x = 0;
    }
  }

  /// A tile of 64 x head_dim as left factors.
  template <int kCount>
  __device__ __forceinline__ void load_left(std::uint32_t (&a)[kCount], const std::uint16_t* tile) {
    const int lane = thread_ % 32;
    const int in_matrix = lane % 8;
    const int row = thread_ / 32 * 16 + in_matrix + lane / 8 % 2 * 8;
    const std::uint32_t base = shared_address(tile) + static_cast<std::uint32_t>(row * 128);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int chunk = (2 * step + lane / 16) % 8;
      ptx::load_matrix_x4(base + step / 4 * kQuadrant * 128 + ((chunk ^ in_matrix) << 4),
                          reinterpret_cast<std::uint32_t(&)[4]>(a[4 * step]));
    }
  }

  __device__ __forceinline__ void sum_up() {
    constexpr std::uint32_t kNoLimit = 0xFFFFFFFFU;
    while (find(kNoLimit) == Found::step) {
      multiply_scores(s_, a1_, shared_.a1[item_slot()][group_], shared_.b1[slot()]);
      multiply_scores(d_, a2_, shared_.a2[item_slot()][group_], shared_.b2[slot()]);
      run_steps();
    }
  }

  /// Runs the step whose scores are in flight and those that follow it closely.
  __device__ __forceinline__ void run_steps() {
    for (;;) {
      const std::uint32_t now = slot();
      const std::uint32_t round = position_ + Config::kStages;
      const bool masked = (flags_ & kMasked) != 0;
      const std::uint32_t word = masked ? load_word(now) : 0;
      ptx::wgmma_wait<1>();
      ptx::pin(s_);
      if (masked) {
        weigh<true>(now, word);
      } else {
        weigh<false>(now, word);
      }
      if constexpr (Config::kOverKeys) {
        pack(s_);
        multiply(sum2_, shared_.b2[now]);
        ptx::wgmma_wait<1>();
      } else {
        ptx::wgmma_wait<0>();
      }
      ptx::pin(d_);
      if (masked) {
        differentiate<true>(now, word);
      } else {
        differentiate<false>(now, word);
      }
      if constexpr (Config::kOverKeys) {
        ptx::wgmma_wait<0>();
        ptx::pin(sum2_);
        ptx::pin(left_);
      }
      pack(d_);
      // A step a whole round of the ring later cannot come before this one is given back.
      ++position_;
      if (find(round) != Found::step) {
        multiply(sum1_, shared_.b1[now]);
        ptx::wgmma_wait<0>();
        ptx::pin(sum1_);
        release(now);
        return;
      }
      multiply(sum1_, shared_.b1[now]);
      multiply_scores(s_, a1_, shared_.a1[item_slot()][group_], shared_.b1[slot()]);
      ptx::wgmma_wait<1>();
      ptx::pin(sum1_);
      ptx::pin(left_);
      release(now);
      // Behind the sum, not with it: else ptxas runs out of registers (C7512).
      multiply_scores(d_, a2_, shared_.a2[item_slot()][group_], shared_.b2[slot()]);
    }
  }

  /// s = the item's tile times that of a step, transposed, as one group.
  template <int kCount>
  __device__ __forceinline__ void multiply_scores(float (&s)[32], std::uint32_t (&a)[kCount],
                                                  const std::uint16_t* a_tile,
                                                  const std::uint16_t* b_tile) {
    const std::uint64_t right = ptx::matrix_descriptor(shared_address(b_tile), 16);
    std::uint64_t left = 0;
    if constexpr (!Config::kStationaryInRegisters) {
      left = ptx::matrix_descriptor(shared_address(a_tile), 16);
    }
    ptx::pin(s);
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      // 16 columns are 32 bytes inside a panel; four of them fill it.
      const int offset = (step / 4 * kQuadrant * 128 + step % 4 * 32) >> 4;
      if constexpr (Config::kStationaryInRegisters) {
        ptx::wgmma_rs_rows<Element>(s, a[4 * step], a[4 * step + 1], a[4 * step + 2],
                                    a[4 * step + 3], right + offset, step != 0);
      } else {
        ptx::wgmma_ss<Element>(s, left + offset, right + offset, step != 0);
      }
    }
    ptx::wgmma_commit();
  }

  /// sum += left_ (64 x 64) times a tile, as one group.
  __device__ __forceinline__ void multiply(float (&sum)[kColumns], const std::uint16_t* tile) {
    const std::uint64_t right = ptx::matrix_descriptor(shared_address(tile), kQuadrant * 128);
    ptx::pin(sum);
    ptx::pin(left_);
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      // 16 rows are two atoms of 8 rows x 128 bytes.
      ptx::wgmma_rs<Element>(sum, left_[4 * step], left_[4 * step + 1], left_[4 * step + 2],
                             left_[4 * step + 3], right + ((step * 2048) >> 4), 1);
    }
    ptx::wgmma_commit();
  }

  __device__ __forceinline__ void pack(const float (&values)[32]) {
#pragma unroll
    for (int i = 0; i < 16; ++i) left_[i] = ptx::pack<Element>(values[2 * i], values[2 * i + 1]);
  }

  /// This thread's mask bits of a step; `allowed` reads them.
  __device__ __forceinline__ std::uint32_t load_word(std::uint32_t step_slot) {
    if constexpr (Config::kOverKeys) {
      if constexpr (Config::kBitsInShared) {
        return transposed_word(shared_.bits[step_slot], group_, thread_);
      }
      const std::int64_t strip = shared_.step[step_slot][group_].bits;
      return transposed_word(p_.columns.bits + strip * kStripWords, group_, thread_);
    } else {
      const std::uint32_t bits = shared_.step[step_slot][group_].bits;
      return __ldg(p_.mask.bits + word_index(bits / 2, thread_) + bits % 2);
    }
  }
  static __device__ __forceinline__ bool allowed(std::uint32_t word, int i) {
    return (word >> (Config::kOverKeys ? transposed_bit(i) : i) & 1U) != 0;
  }

  /// s_ becomes P'; what is masked becomes 0, whatever it was.
  template <bool kMaskedStep>
  __device__ __forceinline__ void weigh(std::uint32_t step_slot, std::uint32_t word) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float2 lse{};
      if constexpr (Config::kOverKeys) lse = column_pair(shared_.lse_log2[step_slot], j);
#pragma unroll
      for (int i = 4 * j; i < 4 * j + 4; ++i) {
        const float base = !Config::kOverKeys ? row_lse_[i / 2 % 2] : i % 2 == 0 ? lse.x : lse.y;
        s_[i] = ptx::exp2_approx(fmaf(s_[i], scale_log2_, -base));
        if (kMaskedStep && !allowed(word, i)) s_[i] = 0;
      }
    }
  }

  /// d_ becomes dS' / scale.
  template <bool kMaskedStep>
  __device__ __forceinline__ void differentiate(std::uint32_t step_slot, std::uint32_t word) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float2 delta{};
      if constexpr (Config::kOverKeys) delta = column_pair(shared_.delta[step_slot], j);
#pragma unroll
      for (int i = 4 * j; i < 4 * j + 4; ++i) {
        const float base = !Config::kOverKeys ? row_delta_[i / 2 % 2]
                           : i % 2 == 0       ? delta.x
                                              : delta.y;
        d_[i] = s_[i] * (d_[i] - base);
        if (kMaskedStep && !allowed(word, i)) d_[i] = 0;
      }
    }
  }

  /// Of the queries of columns 8 j + 2 * (lane % 4) and the next.
  __device__ __forceinline__ float2 column_pair(const float* values, int j) const {
    return *reinterpret_cast<const float2*>(values + 8 * j + 2 * (thread_ % 4));
  }

  /// All warps are through with the tiles of the item, which become staging places.
  __device__ __forceinline__ void write_item() {
    const ItemInfo info = shared_.item[item_slot()];
    if constexpr (Config::kOverKeys) {
      write(sum1_, p_.scale, shared_.a1[item_slot()][group_], info, p_.dk, p_.n_k);
      write(sum2_, 1.0F, shared_.a2[item_slot()][group_], info, p_.dv, p_.n_k);
    } else {
      write(sum1_, p_.scale, shared_.a1[item_slot()][group_], info, p_.dq, p_.n_q);
    }
    // The next tiles come here through TMA: order them behind these ordinary accesses.
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    __syncwarp();
    if (thread_ % 32 == 0) arrive(shared_.item_empty[item_slot()]);
  }

  /// Rows leave whole, by way of shared memory.
  __device__ __forceinline__ void write(float (&sum)[kColumns], float scale, std::uint16_t* tile,
                                        const ItemInfo& info, const Written& to,
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
      p_.state->redo[Config::kOverKeys ? 1 : 0] = 1;
    }
    std::uint16_t* const staging = tile + warp * 16 * kPanel;
    const std::uint32_t base = shared_address(staging);
    const int in_matrix = lane % 8;
    const int matrix_row = in_matrix + lane / 8 % 2 * 8;
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
      const int chunk = (2 * j + lane / 16) % 8;
      ptx::store_matrix_x4(
          base + j / 4 * kQuadrant * 128 + matrix_row * 128 + ((chunk ^ in_matrix) << 4),
          ptx::pack<Element>(sum[8 * j], sum[8 * j + 1]),
          ptx::pack<Element>(sum[8 * j + 2], sum[8 * j + 3]),
          ptx::pack<Element>(sum[8 * j + 4], sum[8 * j + 5]),
          ptx::pack<Element>(sum[8 * j + 6], sum[8 * j + 7]));
    }
    __syncwarp();
    constexpr int kChunks = Config::kHeadDim / 8;  // of 16 bytes in a row
    constexpr int kRowsAtOnce = 32 / kChunks;
    auto* const out = static_cast<std::uint16_t*>(to.data) + info.batch * to.strides.batch +
                      info.head * to.strides.head;
    const std::int32_t first_row =
        info.row_tile * kBackwardRows + group_ * kQuadrant + warp * 16 + lane / kChunks;
    const int chunk = lane % kChunks;
#pragma unroll
    for (int pass = 0; pass < 16 / kRowsAtOnce; ++pass) {
      const int r = pass * kRowsAtOnce + lane / kChunks;
      const uint4 value = *reinterpret_cast<const uint4*>(
          staging + (chunk / 8 * kQuadrant + r) * kPanel + ((chunk % 8) ^ (r % 8)) * 8);
      const std::int32_t i = first_row + pass * kRowsAtOnce;
      if (i < n_rows) {
        const std::int64_t row = to.order == nullptr ? i : __ldg(to.order + i);
        *reinterpret_cast<uint4*>(out + row * to.strides.row + chunk * 8) = value;
      }
    }
  }

  const BackwardParams& p_;
  BackwardStorage<Config>& shared_;
  int group_;
  int thread_;
  float scale_log2_;
  std::uint32_t position_ = 0;  ///< of the step looked at: slot and parity follow from it
  std::uint32_t opened_at_ = 0;
  std::uint32_t item_ = 0;
  std::uint32_t flags_ = 0;  ///< of the step at position_
  float row_lse_[2], row_delta_[2];
  float s_[32], d_[32];
  float sum1_[kColumns];
  float sum2_[Config::kOverKeys ? kColumns : 1];
  std::uint32_t left_[16];  ///< P' or dS', rounded
  std::uint32_t a1_[Config::kStationaryInRegisters ? kSteps * 4 : 1];
  std::uint32_t a2_[Config::kStationaryInRegisters ? kSteps * 4 : 1];
};

}  // namespace attn::hopper

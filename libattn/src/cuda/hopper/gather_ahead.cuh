// SPDX-License-Identifier: Apache-2.0
//
// Q, K and V brought into the mask's order inside the forward kernel, ahead of their use. Before
// the warps of a CTA take their roles they draw chunks (rows of one head) and copy them, head after
// head in the order in which items come: every CTA as long as the first heads last, the CTAs that
// began first to the very end. Then they join those that compute.
//
// Nobody waits for ever. A loading warp waits for rows only after its CTA has begun to draw, and
// then either every chunk is drawn or warps that began before it are still drawing; and whoever has
// drawn a chunk copies it without waiting for anyone.
#pragma once

#include <cuda/ptx>

#include "cuda/hopper/config.cuh"
#include "cuda/hopper/params.hpp"
#include "cuda/hopper/ptx.cuh"

namespace attn::hopper {

/// What one warp gathers: pieces of a few rows, row by row into shared memory and as one copy out
/// of it, several under way at a time.
template <class Config>
class GatherAhead {
 public:
  __device__ explicit GatherAhead(const ForwardParams& p)
      : p_(p), lane_(static_cast<std::int32_t>(threadIdx.x % 32)) {
    extern __shared__ std::uint8_t dynamic_shared[];
    auto& shared = *reinterpret_cast<SharedStorage<Config>*>(
        dynamic_shared + (1024 - shared_address(dynamic_shared) % 1024) % 1024);
    ring_ = shared.q[0] + threadIdx.x / 32 * kRing * kPieceElements;
  }

  /// All threads of the CTA, before anything else of theirs.
  __device__ void run() {
    __shared__ std::uint32_t began;
    if (threadIdx.x == 0) began = atomicAdd(&p_.counters->began, 1U);
    std::uint32_t now = spread(draw());
    __syncthreads();
    const std::uint32_t all = chunks_of_unit() * units();
    const std::uint32_t mine = static_cast<std::int32_t>(began) < p_.gather.ctas
                                   ? all
                                   : min(all, chunks_of_unit() * p_.gather.first_units);
    Source source;
    Target target{}, before{};
    if (now < all) find(now, source, target);
    // The next chunk is drawn before this one is copied, and its rows are looked up while the last
    // pieces of this one are on their way.
    while (now < all) {
      const std::uint32_t drawn = now < mine ? draw() : all;
      const Target here = target;
      Source next = source;
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        load(source, piece);
        store(piece < kAhead ? before : here, (piece + kPieces - kAhead) % kPieces);
        if (piece == kAhead + kLater - 1) publish<kLater>(before.done);
        if (piece == kPieces / 2) {
          now = spread(drawn);
          if (now < all) find(now, next, target);
        }
      }
      before = here;
      source = next;
    }
#pragma unroll
    for (int piece = kPieces - kAhead; piece < kPieces; ++piece) {
      ptx::commit_copies();
      store(before, piece);
    }
    publish<0>(before.done);
    // What follows is loaded to where the pieces were.
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    __syncthreads();
  }

  /// Whether the rows that a head of queries needs lie there; all lanes of a warp ask, even ones
  /// for Q, odd ones for K and V. The reads that follow come by TMA.
  static __device__ bool gathered(const ForwardParams& p, std::int32_t batch, std::int32_t head) {
    const std::int32_t query_head = batch * p.heads + head;
    const bool is_q = threadIdx.x % 2 == 0;
    const std::uint32_t* const done =
        is_q ? p.gather.q_done + query_head : p.gather.kv_done + query_head / p.group;
    const std::uint32_t due = is_q ? (p.gather.q != nullptr ? chunks_of(p.n_q) : 0)
                                   : (p.gather.k != nullptr ? 2 * chunks_of(p.n_k) : 0);
    return __all_sync(0xFFFFFFFFU, ptx::load_acquire(done) == due);
  }

 private:
  static constexpr int kLanes = Config::kHeadDim / 8;  ///< that share a row
  static constexpr int kRows = 32 / kLanes;            ///< of one load
  static constexpr int kDeep = 4;                      ///< loads of a piece
  static constexpr int kPieces = 8;                    ///< of a chunk
  static constexpr int kAhead = 4;                     ///< pieces on their way from global memory
  static constexpr int kRing = 6;                      ///< and on their way there
  static constexpr int kLater = 2;  ///< pieces behind a chunk with which it is published
  static constexpr int kPieceRows = kRows * kDeep;
  static constexpr int kPieceElements = kPieceRows * Config::kHeadDim;
  static constexpr int kChunkRows = kPieceRows * kPieces;
  static constexpr int kLookUps = kChunkRows / 32;

  /// A chunk: where its rows come from, those of places l, l + 32, ... in lane l, and where to.
  struct Source {
    const std::uint16_t* head;
    std::int64_t row_stride;
    std::int32_t rows[kLookUps];
  };
  struct Target {
    std::uint16_t* rows;
    std::int32_t count;
    std::uint32_t* done;  ///< null: there is no such chunk
  };

  static __device__ std::uint32_t chunks_of(std::int32_t rows) {
    return static_cast<std::uint32_t>((rows + kChunkRows - 1) / kChunkRows);
  }
  /// A head of K and V with the heads of Q that share it.
  __device__ std::uint32_t units() const {
    return static_cast<std::uint32_t>(p_.batch * p_.heads / p_.group);
  }
  __device__ std::uint32_t chunks_of_unit() const {
    return (p_.gather.k != nullptr ? 2 * chunks_of(p_.n_k) : 0) +
           (p_.gather.q != nullptr ? p_.group * chunks_of(p_.n_q) : 0);
  }

  /// In lane 0; spread() is to follow when it is needed.
  __device__ std::uint32_t draw() const {
    return lane_ == 0 ? atomicAdd(&p_.counters->next_chunk, 1U) : 0;
  }
  static __device__ std::uint32_t spread(std::uint32_t drawn) {
    return __shfl_sync(0xFFFFFFFFU, drawn, 0);
  }

  __device__ void find(std::uint32_t index, Source& source, Target& target) const {
    const auto unit = static_cast<std::int32_t>(index / chunks_of_unit());
    std::uint32_t place = index % chunks_of_unit();
    const std::uint32_t of_k = p_.gather.k != nullptr ? chunks_of(p_.n_k) : 0;
    const bool is_q = place >= 2 * of_k;
    const bool is_v = !is_q && place >= of_k;
    std::int32_t head = unit;
    if (is_q) {
      place -= 2 * of_k;
      head = unit * p_.group + static_cast<std::int32_t>(place / chunks_of(p_.n_q));
      place %= chunks_of(p_.n_q);
    } else if (is_v) {
      place -= of_k;
    }
    const Strides& strides = is_q ? p_.q_strides : is_v ? p_.v_strides : p_.k_strides;
    const std::int32_t heads = is_q ? p_.heads : p_.heads / p_.group;
    const std::int32_t rows = is_q ? p_.n_q : p_.n_k;
    const auto first = static_cast<std::int32_t>(place) * kChunkRows;
    target = {static_cast<std::uint16_t*>(is_q   ? p_.gather.q
                                          : is_v ? p_.gather.v
                                                 : p_.gather.k) +
                  (std::int64_t{head} * rows + first) * Config::kHeadDim,
              min(kChunkRows, rows - first), (is_q ? p_.gather.q_done : p_.gather.kv_done) + head};
    source.head = static_cast<const std::uint16_t*>(is_q   ? p_.q
                                                    : is_v ? p_.v
                                                           : p_.k) +
                  head / heads * strides.batch + head % heads * strides.head;
    source.row_stride = strides.row;
    const std::int32_t* const order = (is_q ? p_.mask.q_order : p_.mask.kv_order) + first;
#pragma unroll
    for (int i = 0; i < kLookUps; ++i) {
      source.rows[i] = __ldg(order + min(i * 32 + lane_, target.count - 1));
    }
  }

  /// Asks for the rows of a piece, once the piece whose place they take has been read.
  __device__ void load(const Source& source, int piece) {
    if (lane_ == 0)
      cuda::ptx::cp_async_bulk_wait_group_read(cuda::ptx::n32_t<kRing - kAhead - 1>());
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kDeep; ++i) {
      const int place = piece * kPieceRows + i * kRows;  // in the chunk, of the first lanes
      const std::int64_t row =
          __shfl_sync(0xFFFFFFFFU, source.rows[place / 32], place % 32 + lane_ / kLanes);
      ptx::copy_16_bytes(ring_ + into_ * kPieceElements +
                             (i * kRows + lane_ / kLanes) * Config::kHeadDim + column(),
                         source.head + row * source.row_stride + column(), policy_);
    }
    ptx::commit_copies();
    into_ = into_ + 1 == kRing ? 0 : into_ + 1;
  }

  /// Sends the piece that was asked for kAhead pieces ago to its place.
  __device__ void store(const Target& target, int piece) {
    ptx::wait_for_copies<kAhead>();
    cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
    __syncwarp();
    if (lane_ == 0) {
      const std::int32_t rows = min(kPieceRows, target.count - piece * kPieceRows);
      if (target.done != nullptr && rows > 0) {
        cuda::ptx::cp_async_bulk(
            cuda::ptx::space_global, cuda::ptx::space_shared, target.rows + piece * kPieceElements,
            ring_ + out_ * kPieceElements, static_cast<std::uint32_t>(rows * Config::kHeadDim * 2));
      }
      cuda::ptx::cp_async_bulk_commit_group();
    }
    if (target.done != nullptr) out_ = out_ + 1 == kRing ? 0 : out_ + 1;
  }
  __device__ std::int32_t column() const {
    return lane_ % kLanes * 8;
  }

  /// All but the latest kGroups pieces have been written by the bulk engine and will be read by
  /// TMA: a proxy fence stands on both ends of the way from here to there.
  template <int kGroups>
  __device__ void publish(std::uint32_t* done) const {
    if (lane_ != 0 || done == nullptr) return;
    cuda::ptx::cp_async_bulk_wait_group(cuda::ptx::n32_t<kGroups>());
    cuda::ptx::fence_proxy_async(cuda::ptx::space_global);
    ptx::add_release(done, 1);
  }

  static_assert(Config::kThreads / 32 * kRing * kPieceElements * 2 <=
                    offsetof(SharedStorage<Config>, words),
                "the rings of all warps lie where Q, K and V will be");

  const ForwardParams& p_;
  const std::int32_t lane_;
  std::uint16_t* ring_;    ///< where Q, K and V will be, a part for each warp
  std::int32_t into_ = 0;  ///< the place in the ring of the next piece
  std::int32_t out_ = 0;   ///< and of the next to be sent
  const std::uint64_t policy_ = ptx::evict_first_policy();
};

/// No inlining: the call takes no registers from what follows.
template <class Config>
__device__ __noinline__ void gather_ahead(const ForwardParams& p) {
  GatherAhead<Config>(p).run();
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// The instructions of sm_90a that cuda::ptx lacks: wgmma, setmaxnreg, stmatrix and
// ldmatrix, named barriers, words handed from CTA to CTA, cache policies.
// PTX ISA, sections "Asynchronous warpgroup level matrix multiply-accumulate", "setmaxnreg",
// "stmatrix", "bar", "ld", "red" and "createpolicy".
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace attn::hopper::ptx {

/// Gives registers back to (takes them from) the pool of the CTA; all warps of a warpgroup call it.
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// threadIdx.x, which the compiler may not remember, nor what follows from it: where registers are
/// short, nothing that an item's end needs is held over its steps.
__device__ __forceinline__ int thread_again() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

/// Named barriers 1..15 of a CTA: `wait` blocks until `threads` threads have come, `arrive` does
/// not block.
__device__ __forceinline__ void named_barrier_wait(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// 2^x, to about 2 ulp; −inf gives 0.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Two floats rounded to a pair of 16-bit numbers, `low` in the low half.
template <class T>
__device__ __forceinline__ std::uint32_t pack(float low, float high) {
  std::uint32_t pair;
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
}

/// zeros + 0 * pair, of each half: not 0 any more once a number was not finite.
template <class T>
__device__ __forceinline__ std::uint32_t add_zero_times(std::uint32_t zeros, std::uint32_t pair) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm("fma.rn.bf16x2 %0, %1, %2, %0;" : "+r"(zeros) : "r"(pair), "r"(0U));
  } else {
    asm("fma.rn.f16x2 %0, %1, %2, %0;" : "+r"(zeros) : "r"(pair), "r"(0U));
  }
  return zeros;
}

/// Four 8x8 matrices of 16-bit numbers to shared memory; lane l gives the address of row l % 8 of
/// matrix l / 8.
__device__ __forceinline__ void store_matrix_x4(std::uint32_t address, std::uint32_t a,
                                                std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
               "r"(a), "r"(b), "r"(c), "r"(d)
               : "memory");
}

/// The reverse of store_matrix_x4.
__device__ __forceinline__ void load_matrix_x4(std::uint32_t address, std::uint32_t (&m)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(address)
               : "memory");
}

/// 16 bytes on their way to shared memory, in this thread's open group of copies.
__device__ __forceinline__ void copy_16_bytes(void* destination, const void* source,
                                              std::uint64_t policy) {
  asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(
                   static_cast<std::uint32_t>(__cvta_generic_to_shared(destination))),
               "l"(source), "l"(policy)
               : "memory");
}
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits for all groups but the last kPending.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// A word that another CTA released, and everything that CTA did before.
__device__ __forceinline__ std::uint32_t load_acquire(const std::uint32_t* word) {
  std::uint32_t value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
}
/// Adds; whoever acquires the sum sees everything that this thread did or saw before.
__device__ __forceinline__ void add_release(std::uint32_t* word, std::uint32_t value) {
  asm volatile("fence.acq_rel.gpu;\n\tred.relaxed.gpu.global.add.u32 [%0], %1;" ::"l"(word),
               "r"(value)
               : "memory");
}

/// Stores under a condition, without a branch.
__device__ __forceinline__ void store_if(bool condition, float* to, float x) {
  asm volatile("{.reg .pred p; setp.ne.u32 p, %0, 0; @p st.global.f32 [%1], %2;}" ::"r"(
                   static_cast<std::uint32_t>(condition)),
               "l"(to), "f"(x)
               : "memory");
}
__device__ __forceinline__ void store_if(bool condition, float* to, float x, float y) {
  asm volatile("{.reg .pred p; setp.ne.u32 p, %0, 0; @p st.global.v2.f32 [%1], {%2, %3};}" ::"r"(
                   static_cast<std::uint32_t>(condition)),
               "l"(to), "f"(x), "f"(y)
               : "memory");
}

/// Adds 1 and returns what was there; for lane 0 alone. Of an atomicAdd ptxas would gather up what
/// the other lanes add, and wait for the answer to tell them.
__device__ __forceinline__ std::uint32_t take_one(std::uint32_t* word) {
  std::uint32_t before;
  asm volatile(
      "{.reg .u32 lane; .reg .u64 at; mov.u32 lane, %%laneid; mad.wide.u32 at, lane, 4, %1; "
      "atom.relaxed.gpu.global.add.u32 %0, [at], 1;}"
      : "=r"(before)
      : "l"(word)
      : "memory");
  return before;
}

/// What is read with this policy leaves the L2 cache first.
__device__ __forceinline__ std::uint64_t evict_first_policy() {
  std::uint64_t policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

// --- wgmma ---------------------------------------------------------------------------------------

/// Orders earlier register and shared-memory accesses before the wgmmas that follow.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Returns when at most `kPending` committed groups are still running.
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// Keeps the compiler from moving work on these registers across this point: it does not know that
/// a wgmma writes (reads) them until its group is waited for.
template <int kCount>
__device__ __forceinline__ void pin(float (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}
template <int kCount>
__device__ __forceinline__ void pin(std::uint32_t (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}

/// Descriptor of a matrix in shared memory in 128-byte swizzled layout, which TMA writes: atoms of
/// 8 rows x 128 bytes, 1024 bytes apart along the rows. `leading` is the distance in bytes of atoms
/// along the other axis (used by transposed operands wider than one atom).
///
/// The address must be the same in all lanes; the shuffle tells the compiler so, which then keeps
/// descriptors in uniform registers. `+ bytes / 16` moves the start.
__device__ __forceinline__ std::uint64_t matrix_descriptor(std::uint32_t address,
                                                           std::uint32_t leading) {
  constexpr std::uint32_t kSwizzle128 = 1U << 30;
  constexpr std::uint32_t kAtomStride = 1024 >> 4;
  const std::uint32_t low = __shfl_sync(0xFFFFFFFFU, (address & 0x3FFFFU) >> 4, 0);
  return (std::uint64_t{kSwizzle128 | kAtomStride} << 32) | (leading >> 4) << 16 | low;
}

// One asm statement a shape: the list of accumulators is part of the text.
#define BLOCKFILL_LIST_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define BLOCKFILL_ACCUMULATORS_16                                                                 \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
      "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]),    \
      "+f"(d[15])
#define BLOCKFILL_LIST_32                                                  \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define BLOCKFILL_ACCUMULATORS_32                                                                 \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
      "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]),    \
      "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]),  \
      "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]),  \
      "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define BLOCKFILL_LIST_64                                                            \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define BLOCKFILL_ACCUMULATORS_64                                                                 \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
      "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]),    \
      "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]),  \
      "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]),  \
      "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]),  \
      "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]),  \
      "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]),  \
      "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]),  \
      "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])

// d (+)= A Bt, both in shared memory with the summed axis contiguous.
#define BLOCKFILL_WGMMA_SS(SHAPE, TYPE, N, A, B, KEEP)                                             \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" KEEP                                           \
               ", 0;\n"                                                                            \
               "wgmma.mma_async.sync.aligned." SHAPE ".f32." TYPE "." TYPE " {" BLOCKFILL_LIST_##N \
               "}, %" A ", %" B ", p, 1, 1, 0, 0;\n}"                                              \
               : BLOCKFILL_ACCUMULATORS_##N                                                        \
               : "l"(a), "l"(b), "r"(keep))

// d (+)= At B, both in shared memory with the summed axis outermost.
#define BLOCKFILL_WGMMA_SS_COLUMNS(SHAPE, TYPE, N, A, B, KEEP)                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" KEEP                                           \
               ", 0;\n"                                                                            \
               "wgmma.mma_async.sync.aligned." SHAPE ".f32." TYPE "." TYPE " {" BLOCKFILL_LIST_##N \
               "}, %" A ", %" B ", p, 1, 1, 1, 1;\n}"                                              \
               : BLOCKFILL_ACCUMULATORS_##N                                                        \
               : "l"(a), "l"(b), "r"(keep))

/// Asks for a line of global memory in the L1 cache.
__device__ __forceinline__ void prefetch(const void* address) {
  asm volatile("prefetch.global.L1 [%0];" ::"l"(address));
}

// d (+)= A B, A in registers, B in shared memory: BY = 1 with its columns contiguous, BY = 0 with
// the summed axis contiguous.
#define BLOCKFILL_WGMMA_RS(SHAPE, TYPE, N, A0, A1, A2, A3, B, KEEP, BY)                            \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" KEEP                                           \
               ", 0;\n"                                                                            \
               "wgmma.mma_async.sync.aligned." SHAPE ".f32." TYPE "." TYPE " {" BLOCKFILL_LIST_##N \
               "}, {%" A0 ", %" A1 ", %" A2 ", %" A3 "}, %" B ", p, 1, 1, " BY ";\n}"              \
               : BLOCKFILL_ACCUMULATORS_##N                                                        \
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(keep))

/// d = A Bt + (keep ? d : 0) for a 64 x 16 A and an N x 16 B; d has N / 2 registers a thread.
template <class T, int kCount>
__device__ __forceinline__ void wgmma_ss(float (&d)[kCount], std::uint64_t a, std::uint64_t b,
                                         int keep) {
  static_assert(kCount == 32 || kCount == 64, "wgmma is instantiated for N = 64 and 128");
  constexpr bool kBf16 = std::is_same_v<T, __nv_bfloat16>;
  if constexpr (kCount == 32 && kBf16) {
    BLOCKFILL_WGMMA_SS("m64n64k16", "bf16", 32, "32", "33", "34");
  } else if constexpr (kCount == 32) {
    BLOCKFILL_WGMMA_SS("m64n64k16", "f16", 32, "32", "33", "34");
  } else if constexpr (kBf16) {
    BLOCKFILL_WGMMA_SS("m64n128k16", "bf16", 64, "64", "65", "66");
  } else {
    BLOCKFILL_WGMMA_SS("m64n128k16", "f16", 64, "64", "65", "66");
  }
}

/// d = A B + (keep ? d : 0) for a 64 x 16 A in registers and a 16 x N B.
template <class T, int kCount>
__device__ __forceinline__ void wgmma_rs(float (&d)[kCount], std::uint32_t a0, std::uint32_t a1,
                                         std::uint32_t a2, std::uint32_t a3, std::uint64_t b,
                                         int keep) {
  static_assert(kCount == 32 || kCount == 64, "wgmma is instantiated for N = 64 and 128");
  constexpr bool kBf16 = std::is_same_v<T, __nv_bfloat16>;
  if constexpr (kCount == 32 && kBf16) {
    BLOCKFILL_WGMMA_RS("m64n64k16", "bf16", 32, "32", "33", "34", "35", "36", "37", "1");
  } else if constexpr (kCount == 32) {
    BLOCKFILL_WGMMA_RS("m64n64k16", "f16", 32, "32", "33", "34", "35", "36", "37", "1");
  } else if constexpr (kBf16) {
    BLOCKFILL_WGMMA_RS("m64n128k16", "bf16", 64, "64", "65", "66", "67", "68", "69", "1");
  } else {
    BLOCKFILL_WGMMA_RS("m64n128k16", "f16", 64, "64", "65", "66", "67", "68", "69", "1");
  }
}

/// d = A Bt + (keep ? d : 0) for a 64 x 16 A in registers and a 64 x 16 B.
template <class T>
__device__ __forceinline__ void wgmma_rs_rows(float (&d)[32], std::uint32_t a0, std::uint32_t a1,
                                              std::uint32_t a2, std::uint32_t a3, std::uint64_t b,
                                              int keep) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    BLOCKFILL_WGMMA_RS("m64n64k16", "bf16", 32, "32", "33", "34", "35", "36", "37", "0");
  } else {
    BLOCKFILL_WGMMA_RS("m64n64k16", "f16", 32, "32", "33", "34", "35", "36", "37", "0");
  }
}

/// d = At B + (keep ? d : 0) for a 16 x 64 A and a 16 x N B; d has N / 2 registers a thread.
template <class T, int kCount>
__device__ __forceinline__ void wgmma_ss_columns(float (&d)[kCount], std::uint64_t a,
                                                 std::uint64_t b, int keep) {
  static_assert(kCount == 16 || kCount == 32, "this product is instantiated for N = 32 and 64");
  constexpr bool kBf16 = std::is_same_v<T, __nv_bfloat16>;
  if constexpr (kCount == 16 && kBf16) {
    BLOCKFILL_WGMMA_SS_COLUMNS("m64n32k16", "bf16", 16, "16", "17", "18");
  } else if constexpr (kCount == 16) {
    BLOCKFILL_WGMMA_SS_COLUMNS("m64n32k16", "f16", 16, "16", "17", "18");
  } else if constexpr (kBf16) {
    BLOCKFILL_WGMMA_SS_COLUMNS("m64n64k16", "bf16", 32, "32", "33", "34");
  } else {
    BLOCKFILL_WGMMA_SS_COLUMNS("m64n64k16", "f16", 32, "32", "33", "34");
  }
}

#undef BLOCKFILL_WGMMA_SS_COLUMNS
#undef BLOCKFILL_WGMMA_SS
#undef BLOCKFILL_WGMMA_RS
#undef BLOCKFILL_LIST_16
#undef BLOCKFILL_ACCUMULATORS_16
#undef BLOCKFILL_LIST_32
#undef BLOCKFILL_ACCUMULATORS_32
#undef BLOCKFILL_LIST_64
#undef BLOCKFILL_ACCUMULATORS_64

}  // namespace attn::hopper::ptx

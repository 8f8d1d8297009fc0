// SPDX-License-Identifier: Apache-2.0
//
// Kernels that begin while the kernel in front of them ends (programmatic dependent launch). Each
// says early that the next may begin, and waits for all that the one in front wrote before it reads
// it or writes over it.
#pragma once

#include <cuda_runtime.h>

namespace attn::hopper {

/// The kernel behind this one may begin where there is room for it.
__device__ __forceinline__ void let_next_begin() {
  asm volatile("griddepcontrol.launch_dependents;");
}

/// Waits until the kernel in front is through, with everything that it waited for itself.
__device__ __forceinline__ void wait_for_front() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

/// Launches a kernel of one parameter that calls wait_for_front().
template <class Params>
cudaError_t launch_behind(void (*kernel)(Params), unsigned ctas, int threads, std::size_t shared,
                          cudaStream_t stream, const Params& params) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = ctas;
  config.blockDim = static_cast<unsigned>(threads);
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, params);
}

}  // namespace attn::hopper

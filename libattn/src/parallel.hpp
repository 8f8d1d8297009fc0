// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace attn {

/// The number of threads that a caller's wish means: itself, or all for 0 and below.
[[nodiscard]] int thread_count(int wish) noexcept;

/// Runs body(index, worker) for every index in [0, count) on up to `threads` threads, the caller's
/// among them, handing out indices one by one in ascending order. `worker` lies in [0, threads)
/// and is held by one thread at a time, so it may index scratch memory.
///
/// The helpers are a pool that lives as long as the process: a call costs microseconds, not thread
/// starts. Calls from several threads at once share it. When bodies throw, no further index is
/// handed out and the exception of the smallest index is thrown again, whatever the timing.
void parallel_for(int threads, std::int64_t count,
                  const std::function<void(std::int64_t index, int worker)>& body);

}  // namespace attn

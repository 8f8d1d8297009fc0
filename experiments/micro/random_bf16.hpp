// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "attn/tensor.hpp"

/// About normal values in bf16, fast: a sum of four uniform numbers.
inline std::vector<std::uint16_t> random_bf16(std::size_t count, std::uint64_t seed) {
  std::vector<std::uint16_t> values(count);
  const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::thread> pool;
  for (std::size_t t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      std::uint64_t state = (seed * 1000003 + t) * 0x9E3779B97F4A7C15U + 1;
      for (std::size_t i = count * t / threads; i < count * (t + 1) / threads; ++i) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        const auto sum = static_cast<float>((state & 0xFFFF) + (state >> 16 & 0xFFFF) +
                                            (state >> 32 & 0xFFFF) + (state >> 48));
        values[i] = attn::float_to_bfloat16((sum / 65536.0F - 2.0F) * 1.7320508F);
      }
    });
  }
  for (std::thread& thread : pool) thread.join();
  return values;
}

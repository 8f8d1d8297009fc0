// SPDX-License-Identifier: Apache-2.0
#include "parallel.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace attn {
namespace {

TEST(ParallelFor, RunsEveryIndexOnceAndNoWorkerTwiceAtATime) {
  for (const int threads : {1, 2, 7}) {
    for (const std::int64_t count : {0, 1, 5, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
      std::vector<std::atomic<int>> busy(static_cast<std::size_t>(threads));
      parallel_for(threads, count, [&](std::int64_t index, int worker) {
        ASSERT_LT(worker, threads);
        EXPECT_EQ(busy[static_cast<std::size_t>(worker)]++, 0);
        ++runs[static_cast<std::size_t>(index)];
        --busy[static_cast<std::size_t>(worker)];
      });
      for (const auto& run : runs) EXPECT_EQ(run, 1);
    }
  }
}

TEST(ParallelFor, ThrowsTheExceptionOfTheSmallestIndex) {
  for (int repeat = 0; repeat < 100; ++repeat) {
    try {
      parallel_for(4, 1000, [](std::int64_t index, int) {
        if (index >= 17) throw std::runtime_error(std::to_string(index));
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "17");
    }
  }
}

TEST(ParallelFor, ServesSeveralCallersAtOnce) {
  std::atomic<std::int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat) {
        parallel_for(3, 100, [&](std::int64_t index, int) { sum += index; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 6 * 50 * 4950);
}

TEST(ThreadCount, ZeroMeansAll) {
  EXPECT_EQ(thread_count(3), 3);
  EXPECT_GE(thread_count(0), 1);
}

}  // namespace
}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

/// What one can expect of this processor in fp32: a well-known matrix product and the peak.
namespace gemm {

/// C = A B for square matrices, by Eigen on `threads` threads.
class Product {
 public:
  explicit Product(std::int64_t n);
  ~Product();
  void run(int threads);
  [[nodiscard]] double flops() const;

 private:
  struct Matrices;
  std::unique_ptr<Matrices> matrices_;
};

/// Multiply-adds that wait for nothing, on one thread. Returns how many operations were done.
double run_peak();

/// The instruction sets that both were compiled for.
[[nodiscard]] const char* instruction_sets();

}  // namespace gemm

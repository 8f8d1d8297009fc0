// SPDX-License-Identifier: Apache-2.0
#include "gemm.hpp"

#include <Eigen/Core>

namespace gemm {

struct Product::Matrices {
  explicit Matrices(Eigen::Index n)
      : a(Eigen::MatrixXf::Random(n, n)), b(Eigen::MatrixXf::Random(n, n)), c(n, n) {}
  Eigen::MatrixXf a, b, c;
};

Product::Product(std::int64_t n) : matrices_(std::make_unique<Matrices>(n)) {}
Product::~Product() = default;

void Product::run(int threads) {
  Eigen::setNbThreads(threads);
  matrices_->c.noalias() = matrices_->a * matrices_->b;
}

double Product::flops() const {
  const auto n = static_cast<double>(matrices_->a.rows());
  return 2 * n * n * n;
}

double run_peak() {
  using Packet = Eigen::internal::packet_traits<float>::type;
  constexpr int kSums = 12;  // more than latency times units, and fits 16 registers
  constexpr int kRounds = 1 << 20;
  Packet sums[kSums];
  for (int s = 0; s < kSums; ++s) sums[s] = Eigen::internal::pset1<Packet>(1.0f + float(s));
  const auto factor = Eigen::internal::pset1<Packet>(0.5f);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int s = 0; s < kSums; ++s) sums[s] = Eigen::internal::pmadd(sums[s], factor, factor);
  }
  float sum = 0;
  for (const Packet& packet : sums) sum += Eigen::internal::predux(packet);
  volatile float keep = sum;
  (void)keep;
  constexpr auto kLanes = static_cast<double>(sizeof(Packet) / sizeof(float));
  return 2 * kLanes * kSums * kRounds;
}

const char* instruction_sets() {
  return Eigen::SimdInstructionSetsInUse();
}

}  // namespace gemm

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "attn/attention.hpp"

namespace attn::test {

/// A mask as the tests think of it: one bool a pair, row-major.
struct BoolMask {
  std::int32_t n_q = 0;
  std::int32_t n_k = 0;
  std::vector<std::uint8_t> allowed;

  BoolMask(std::int32_t queries, std::int32_t keys,
           const std::function<bool(std::int32_t, std::int32_t)>& rule)
      : n_q(queries),
        n_k(keys),
        allowed(static_cast<std::size_t>(queries) * static_cast<std::size_t>(keys)) {
    for (std::int32_t i = 0; i < n_q; ++i) {
      for (std::int32_t j = 0; j < n_k; ++j) allowed[index(i, j)] = rule(i, j) ? 1 : 0;
    }
  }

  [[nodiscard]] std::size_t index(std::int32_t i, std::int32_t j) const {
    return static_cast<std::size_t>(i) * static_cast<std::size_t>(n_k) +
           static_cast<std::size_t>(j);
  }
  [[nodiscard]] bool operator()(std::int32_t i, std::int32_t j) const {
    return allowed[index(i, j)] != 0;
  }
  [[nodiscard]] DensePattern bytes() const { return {n_q, n_k, allowed.data(), n_k}; }
  [[nodiscard]] BlockMask tiled(TileShape tile = {}, int threads = 1) const {
    return BlockMask::from_dense(bytes(), tile, threads);
  }
};

/// The same mask as CSR.
struct Csr {
  std::int32_t n_q, n_k;
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> cols;

  explicit Csr(const BoolMask& mask) : n_q(mask.n_q), n_k(mask.n_k) {
    for (std::int32_t i = 0; i < n_q; ++i) {
      for (std::int32_t j = 0; j < n_k; ++j) {
        if (mask(i, j)) cols.push_back(j);
      }
      offsets.push_back(static_cast<std::int64_t>(cols.size()));
    }
  }
  [[nodiscard]] CsrPattern view() const { return {n_q, n_k, offsets, cols}; }
};

/// An owned, dense row-major tensor of any dtype.
class Tensor {
 public:
  Tensor(std::array<std::int64_t, 4> shape, DType dtype = DType::f32)
      : bytes_(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]) *
               size_of(dtype)),
        view_(contiguous(bytes_.data(), dtype, shape)) {}
  Tensor(const Tensor& other) : bytes_(other.bytes_), view_(other.view_) {
    view_.data = bytes_.data();
  }
  Tensor& operator=(const Tensor&) = delete;

  /// Standard normal values, the same for every dtype up to rounding.
  Tensor& randomize(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (std::int64_t n = 0; n < view_.elements(); ++n) set(n, normal(random));
    return *this;
  }

  [[nodiscard]] const TensorView& view() const { return view_; }
  [[nodiscard]] std::int64_t offset(std::int64_t b, std::int64_t h, std::int64_t i,
                                    std::int64_t d) const {
    return b * view_.strides[0] + h * view_.strides[1] + i * view_.strides[2] + d;
  }
  [[nodiscard]] float get(std::int64_t n) const {
    const std::byte* at = bytes_.data() + static_cast<std::size_t>(n) * size_of(view_.dtype);
    if (view_.dtype == DType::f32) {
      float value;
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    std::uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return view_.dtype == DType::f16 ? half_to_float(bits) : bfloat16_to_float(bits);
  }
  void set(std::int64_t n, float value) {
    std::byte* at = bytes_.data() + static_cast<std::size_t>(n) * size_of(view_.dtype);
    if (view_.dtype == DType::f32) {
      std::memcpy(at, &value, sizeof value);
      return;
    }
    const std::uint16_t bits =
        view_.dtype == DType::f16 ? float_to_half(value) : float_to_bfloat16(value);
    std::memcpy(at, &bits, sizeof bits);
  }

 private:
  std::vector<std::byte> bytes_;
  TensorView view_;
};

}  // namespace attn::test

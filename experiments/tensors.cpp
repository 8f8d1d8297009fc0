// SPDX-License-Identifier: Apache-2.0
#include "experiments/tensors.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <numbers>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "experiments/environment.hpp"
#include "experiments/parameters.hpp"
#include "experiments/text.hpp"

namespace experiments {
namespace {

/// The i-th number of splitmix64 (Steele, Lea and Flood, 2014), which can be had without those
/// before it.
std::uint64_t random_at(std::uint64_t seed, std::uint64_t i) noexcept {
  std::uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// In (0, 1].
float unit_at(std::uint64_t seed, std::uint64_t i) noexcept {
  return static_cast<float>((random_at(seed, i) >> 40) + 1) * 0x1p-24F;
}

void store(const attn::TensorView& tensor, std::int64_t at, float value) noexcept {
  if (tensor.dtype == attn::DType::f32) {
    static_cast<float*>(tensor.data)[at] = value;
  } else {
    static_cast<std::uint16_t*>(tensor.data)[at] = tensor.dtype == attn::DType::f16
                                                       ? attn::float_to_half(value)
                                                       : attn::float_to_bfloat16(value);
  }
}

/// Box and Muller: two normal numbers from two uniform ones. The elements are the same for any
/// number of threads.
void fill_normal(const attn::TensorView& tensor, std::uint64_t seed) {
  const std::int64_t n = tensor.elements();
  const auto fill = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += 2) {
      const auto at = static_cast<std::uint64_t>(i);
      const float radius = std::sqrt(-2.0F * std::log(unit_at(seed, at)));
      const float angle = 2.0F * std::numbers::pi_v<float> * unit_at(seed, at + 1);
      store(tensor, i, radius * std::cos(angle));
      if (i + 1 < n) store(tensor, i + 1, radius * std::sin(angle));
    }
  };
  constexpr std::int64_t kPiece = std::int64_t{1} << 20;
  const auto threads = std::min<std::int64_t>(usable_cpus(), (n + kPiece - 1) / kPiece);
  std::vector<std::jthread> helpers;
  std::atomic<std::int64_t> next{0};
  const auto work = [&] {
    for (std::int64_t begin; (begin = kPiece * next++) < n;) {
      fill(begin, std::min(n, begin + kPiece));
    }
  };
  for (std::int64_t t = 1; t < threads; ++t) helpers.emplace_back(work);
  work();
}

[[noreturn]] void refuse(const char* name, attn::DType dtype,
                         const std::array<std::int64_t, 4>& shape, double bytes) {
  std::string sides;
  for (const std::int64_t side : shape) sides += (sides.empty() ? "" : "x") + grouped(side);
  throw std::runtime_error("not enough memory for " + std::string(name) + ", " + sides + " of " +
                           std::string(attn::to_string(dtype)) + ": " +
                           three_digits(bytes / 0x1p30) + " GiB");
}

}  // namespace

Tensor allocate(const attn::Backend& backend, attn::DType dtype, std::array<std::int64_t, 4> shape,
                const char* name) {
  // No allocator is asked for more than an address can tell apart; past that, integers overflow.
  constexpr double kMostBytes = 0x1p47;
  double bytes = static_cast<double>(attn::size_of(dtype));
  for (const std::int64_t side : shape) bytes *= static_cast<double>(side);
  if (bytes > kMostBytes) refuse(name, dtype, shape, bytes);
  Tensor tensor{{}, attn::contiguous(nullptr, dtype, shape)};
  try {
    tensor.memory = backend.allocate(tensor.bytes());
  } catch (const std::bad_alloc&) {
    refuse(name, dtype, shape, bytes);
  }
  tensor.view.data = tensor.memory.get();
  return tensor;
}

const attn::Backend& host_backend() {
  return attn::backend("reference");
}

Inputs make_inputs(const Problem& problem, const reorder::CsrView& mask) {
  const auto dtype = parse_dtype(problem.dtype);
  const auto make = [&](const char* name, std::int64_t heads, std::int64_t rows,
                        std::uint64_t stream) {
    Tensor tensor =
        allocate(host_backend(), dtype, {problem.batch, heads, rows, problem.head_dim}, name);
    fill_normal(tensor.view, stream);
    return tensor;
  };
  const std::uint64_t first = problem.seed * 3;
  Inputs inputs{.q = make("Q", problem.heads, mask.n_rows, first),
                .k = make("K", problem.kv_heads, mask.n_cols, first + 1),
                .v = make("V", problem.kv_heads, mask.n_cols, first + 2)};
  // Far from the streams of any other seed.
  if (problem.pass != "fwd") inputs.d_o = make("dO", problem.heads, mask.n_rows, ~first);
  return inputs;
}

double element(const attn::TensorView& tensor, std::int64_t b, std::int64_t h, std::int64_t i,
               std::int64_t d) noexcept {
  const std::int64_t at =
      b * tensor.strides[0] + h * tensor.strides[1] + i * tensor.strides[2] + d * tensor.strides[3];
  switch (tensor.dtype) {
    case attn::DType::f32:
      return static_cast<const float*>(tensor.data)[at];
    case attn::DType::f16:
      return attn::half_to_float(static_cast<const std::uint16_t*>(tensor.data)[at]);
    case attn::DType::bf16:
      return attn::bfloat16_to_float(static_cast<const std::uint16_t*>(tensor.data)[at]);
  }
  return 0;
}

}  // namespace experiments

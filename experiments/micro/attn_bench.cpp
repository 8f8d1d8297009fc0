// SPDX-License-Identifier: Apache-2.0
//
// libattn on the CPU. Timings that are compared are taken in turns, so that a busy machine slows
// both; the counters are medians.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "attn/attention.hpp"
#include "gemm.hpp"

namespace {

using attn::BlockMask;

/// One thread is timed by its own CPU clock, which other programs' work does not enter; several by
/// the clock on the wall, because waiting counts.
double seconds_of(int threads, const std::function<void()>& work) {
  const auto now = [&] {
    std::timespec time{};
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

using Rule = std::function<bool(std::int32_t, std::int32_t)>;

BlockMask square_mask(std::int32_t n, const Rule& rule) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(n) * static_cast<std::size_t>(n));
  for (std::int32_t i = 0; i < n; ++i) {
    for (std::int32_t j = 0; j < n; ++j) {
      bytes[static_cast<std::size_t>(i) * static_cast<std::size_t>(n) +
            static_cast<std::size_t>(j)] = rule(i, j) ? 1 : 0;
    }
  }
  return BlockMask::from_dense({n, n, bytes.data(), n}, {}, 0);
}

/// One fp32 problem under one mask, ready to run.
class Attention {
 public:
  Attention(const BlockMask& mask, std::int64_t heads, std::int64_t head_dim, int threads)
      : heads_(heads), head_dim_(head_dim), n_q_(mask.n_q()) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const std::array shape{std::int64_t{1}, heads, std::int64_t{mask.n_q()}, head_dim};
    const auto tensor = [&](std::size_t t) {
      data_[t].resize(static_cast<std::size_t>(heads * mask.n_q() * head_dim));
      for (float& value : data_[t]) value = normal(random);
      return attn::contiguous(data_[t].data(), attn::DType::f32, shape);
    };
    lse_.resize(static_cast<std::size_t>(heads * mask.n_q()));
    args_.q = gradients_.q = tensor(0);
    args_.k = gradients_.k = tensor(1);
    args_.v = gradients_.v = tensor(2);
    args_.o = gradients_.o = tensor(3);
    args_.lse = gradients_.lse =
        attn::contiguous(lse_.data(), attn::DType::f32, {1, heads, mask.n_q(), 1});
    gradients_.d_o = tensor(4);
    gradients_.dq = tensor(5);
    gradients_.dk = tensor(6);
    gradients_.dv = tensor(7);
    plan_ = attn::backend("cpu").prepare(mask, {.threads = threads, .backward = true});
    gradients_.workspace_bytes = plan_->backward_workspace(gradients_);
    workspace_ = attn::backend("cpu").allocate(gradients_.workspace_bytes);
    gradients_.workspace = workspace_.get();
  }

  void run() const { plan_->forward(args_); }
  void run_backward() const { plan_->backward(gradients_); }

  /// Of the dense problem: two products of N × N × D multiply-adds a head.
  [[nodiscard]] double dense_flops() const {
    return 4.0 * static_cast<double>(heads_ * head_dim_) * static_cast<double>(n_q_) *
           static_cast<double>(n_q_);
  }

 private:
  std::int64_t heads_, head_dim_, n_q_;
  std::vector<float> data_[8];
  std::vector<float> lse_;
  attn::ForwardArgs args_;
  attn::BackwardArgs gradients_;
  attn::Buffer workspace_;
  std::unique_ptr<attn::Plan> plan_;
};

/// Arguments: head_dim, threads. Goal: `of_eigen` ≥ 0.6.
void dense_against_eigen(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(1));
  const Attention attention(square_mask(4096, [](int, int) { return true; }), 1, state.range(0),
                            threads);
  gemm::Product product(2048);
  attention.run();
  product.run(threads);

  std::vector<double> ours, theirs, peak, ratio;
  for (auto _ : state) {
    theirs.push_back(product.flops() / seconds_of(threads, [&] { product.run(threads); }));
    const double seconds = seconds_of(threads, [&] { attention.run(); });
    ours.push_back(attention.dense_flops() / seconds);
    double operations = 0;
    const double peak_seconds = seconds_of(1, [&] { operations = gemm::run_peak(); });
    peak.push_back(operations / peak_seconds * threads);
    ratio.push_back(ours.back() / theirs.back());
    state.SetIterationTime(seconds);
  }
  const double best_peak = *std::max_element(peak.begin(), peak.end());
  state.counters["GFLOP/s"] = median(ours) / 1e9;
  state.counters["Eigen_GFLOP/s"] = median(theirs) / 1e9;
  state.counters["of_eigen"] = median(ratio);
  state.counters["eigen_of_peak"] = median(theirs) / best_peak;
  state.counters["of_peak"] = median(ours) / best_peak;
  state.SetLabel(attn::backend("cpu").info().summary + "; Eigen: " + gemm::instruction_sets());
}
BENCHMARK(dense_against_eigen)
    ->ArgNames({"D", "threads"})
    ->ArgsProduct({{64, 128}, {1, 2}})
    ->Iterations(15)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

/// The price of a partial tile: every tile full against every tile short of one element. Goal:
/// `partial_of_full` ≤ 1.25.
void partial_against_full(benchmark::State& state) {
  const std::int64_t head_dim = state.range(0);
  const Attention full(square_mask(2048, [](int, int) { return true; }), 1, head_dim, 1);
  const Attention partial(
      square_mask(2048, [](int i, int j) { return i % 128 != 127 || j % 128 != 0; }), 1, head_dim,
      1);
  full.run();
  partial.run();
  std::vector<double> ratio;
  for (auto _ : state) {
    const double full_seconds = seconds_of(1, [&] { full.run(); });
    const double seconds = seconds_of(1, [&] { partial.run(); });
    ratio.push_back(seconds / full_seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["partial_of_full"] = median(ratio);
}
BENCHMARK(partial_against_full)
    ->ArgNames({"D"})
    ->Arg(64)
    ->Arg(128)
    ->Iterations(25)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

/// The backward pass beside the forward one: five products a tile against two.
void backward_of_forward(benchmark::State& state, const Rule& rule) {
  const int threads = static_cast<int>(state.range(1));
  const Attention attention(square_mask(4096, rule), 4, state.range(0), threads);
  attention.run();
  attention.run_backward();
  std::vector<double> ratio;
  for (auto _ : state) {
    const double forward = seconds_of(threads, [&] { attention.run(); });
    const double backward = seconds_of(threads, [&] { attention.run_backward(); });
    ratio.push_back(backward / forward);
    state.SetIterationTime(backward);
  }
  state.counters["of_forward"] = median(ratio);
}
#define BACKWARD_OF_FORWARD(name, rule)              \
  BENCHMARK_CAPTURE(backward_of_forward, name, rule) \
      ->ArgNames({"D", "threads"})                   \
      ->ArgsProduct({{64, 128}, {1, 2}})             \
      ->Iterations(7)                                \
      ->UseManualTime()                              \
      ->Unit(benchmark::kMillisecond)
BACKWARD_OF_FORWARD(causal, [](int i, int j) { return j <= i; });
BACKWARD_OF_FORWARD(window, [](int i, int j) { return std::abs(i - j) <= 128; });
BACKWARD_OF_FORWARD(documents, [](int i, int j) { return j <= i && i / 270 == j / 270; });
BACKWARD_OF_FORWARD(longformer,
                    [](int i, int j) { return std::abs(i - j) <= 256 || i < 64 || j < 64; });
#undef BACKWARD_OF_FORWARD

struct NamedMask {
  std::string name;
  BlockMask mask;
};

/// Masks of 4096 tokens from nearly empty to nearly half full, some of full tiles, some of partial
/// ones, balanced and not.
std::vector<NamedMask> assorted_masks() {
  constexpr std::int32_t n = 4096;
  std::vector<NamedMask> masks;
  const auto add = [&](std::string name, const Rule& rule) {
    masks.push_back({std::move(name), square_mask(n, rule)});
  };
  for (const int width : {32, 128, 256, 512, 1024}) {
    add("window " + std::to_string(width), [=](int i, int j) { return std::abs(i - j) <= width; });
    add("causal window " + std::to_string(width),
        [=](int i, int j) { return j <= i && i - j < width; });
    add("window " + std::to_string(width) + ", 64 globals",
        [=](int i, int j) { return std::abs(i - j) <= width || i < 64 || j < 64; });
  }
  for (const int length : {100, 270, 700, 1024, 1500}) {
    add("documents of " + std::to_string(length),
        [=](int i, int j) { return i / length == j / length; });
    add("causal documents of " + std::to_string(length),
        [=](int i, int j) { return j <= i && i / length == j / length; });
  }
  for (const int dilation : {2, 8, 16}) {
    add("dilated by " + std::to_string(dilation),
        [=](int i, int j) { return std::abs(i - j) <= 32 * dilation && (i - j) % dilation == 0; });
  }
  for (const int percent : {5, 20, 45}) {
    for (const int edge : {64, 128}) {
      std::mt19937 random(static_cast<unsigned>(percent));
      std::vector<bool> blocks(static_cast<std::size_t>(n / edge * (n / edge)));
      for (auto&& block : blocks) block = static_cast<int>(random() % 100) < percent;
      add(std::to_string(percent) + " % of blocks of " + std::to_string(edge), [=](int i, int j) {
        return blocks[static_cast<std::size_t>(i / edge * (n / edge) + j / edge)];
      });
    }
  }
  for (const int per_mille : {1, 10}) {
    std::mt19937 random(7);
    add(std::to_string(per_mille) + " per mille of elements in half of the rows",
        [&](int i, int) { return i < n / 2 && static_cast<int>(random() % 1000) < per_mille; });
  }
  return masks;
}

/// A mask's tiles and how long one call takes.
struct Point {
  std::string name;
  std::array<double, 3> terms;  ///< full tiles, partial tiles, 1
  double seconds;

  Point(std::string mask_name, const BlockMask& mask, std::int64_t heads, std::int64_t head_dim)
      : name(std::move(mask_name)),
        terms{static_cast<double>(mask.full_count()), static_cast<double>(mask.partial_count()),
              1} {
    const Attention attention(mask, heads, head_dim, 1);
    attention.run();
    std::vector<double> samples(5);
    for (double& sample : samples) sample = seconds_of(1, [&] { attention.run(); });
    seconds = median(samples);
  }
};

/// Solves the three equations [A | b] by Gauss's elimination.
std::array<double, 3> solve(std::array<std::array<double, 4>, 3> system) {
  for (std::size_t pivot = 0; pivot < 3; ++pivot) {
    for (std::size_t r = 0; r < 3; ++r) {
      if (r == pivot) continue;
      const double factor = system[r][pivot] / system[pivot][pivot];
      for (std::size_t c = 0; c < 4; ++c) system[r][c] -= factor * system[pivot][c];
    }
  }
  return {system[0][3] / system[0][0], system[1][3] / system[1][1], system[2][3] / system[2][2]};
}

/// seconds = a · full + b · partial + c, by least squares over some points.
struct Plane {
  std::array<double, 3> coefficients;

  explicit Plane(const std::vector<Point>& points) {
    std::array<std::array<double, 4>, 3> normal{};
    for (const Point& point : points) {
      for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t c = 0; c < 3; ++c) normal[r][c] += point.terms[r] * point.terms[c];
        normal[r][3] += point.terms[r] * point.seconds;
      }
    }
    coefficients = solve(normal);
  }

  [[nodiscard]] double predict(const Point& point) const {
    double sum = 0;
    for (std::size_t t = 0; t < 3; ++t) sum += coefficients[t] * point.terms[t];
    return sum;
  }
  /// How much longer a call takes than is predicted, of 1.
  [[nodiscard]] double off(const Point& point) const { return point.seconds / predict(point) - 1; }

  /// The share of the variance of times that is explained.
  [[nodiscard]] double r2(const std::vector<Point>& points) const {
    double mean = 0;
    for (const Point& point : points) mean += point.seconds / static_cast<double>(points.size());
    double residual = 0;
    double variance = 0;
    for (const Point& point : points) {
      residual += std::pow(point.seconds - predict(point), 2);
      variance += std::pow(point.seconds - mean, 2);
    }
    return 1 - residual / variance;
  }
};

/// Fits a plane to assorted masks and looks at what it predicts. Goals: `r2` ≥ 0.98, `worst` ≤ 0.2
/// over masks above 5 ms, `dense` and `causal`, which the fit has not seen, within 0.2 as well.
void time_is_a_plane(benchmark::State& state) {
  constexpr std::int64_t kHeads = 4;
  constexpr double kLong = 5e-3;
  const std::int64_t head_dim = state.range(0);
  const auto measure = [head_dim](const char* name, const Rule& rule) {
    return Point(name, square_mask(4096, rule), kHeads, head_dim);
  };
  for (auto _ : state) {
    std::vector<Point> points;
    for (const NamedMask& mask : assorted_masks()) {
      points.emplace_back(mask.name, mask.mask, kHeads, head_dim);
    }
    const Plane plane(points);
    const auto how_far = [&](const Point& point) {
      return point.seconds > kLong ? std::abs(plane.off(point)) : 0;
    };
    const Point& worst =
        *std::max_element(points.begin(), points.end(),
                          [&](const Point& a, const Point& b) { return how_far(a) < how_far(b); });
    const auto& [full, partial, fixed] = plane.coefficients;
    state.counters["full_us"] = full * 1e6 / kHeads;
    state.counters["partial_us"] = partial * 1e6 / kHeads;
    state.counters["fixed_us"] = fixed * 1e6 / kHeads;
    state.counters["r2"] = plane.r2(points);
    state.counters["worst"] = plane.off(worst);
    state.counters["dense"] = plane.off(measure("dense", [](int, int) { return true; }));
    state.counters["causal"] = plane.off(measure("causal", [](int i, int j) { return j <= i; }));
    state.SetLabel("worst: " + worst.name);
  }
}
BENCHMARK(time_is_a_plane)
    ->ArgNames({"D"})
    ->Arg(64)
    ->Arg(128)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);

/// A CSR pattern of about 10 million elements: a window, or as many random ones a row.
struct Csr {
  std::int32_t n;
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> cols;

  Csr(std::int32_t size, std::int32_t per_row, bool window) : n(size) {
    std::mt19937 random(1);
    for (std::int32_t i = 0; i < n; ++i) {
      const std::size_t begin = cols.size();
      for (std::int32_t k = 0; k < per_row; ++k) {
        cols.push_back(window ? std::clamp(i - per_row / 2 + k, 0, n - 1)
                              : static_cast<std::int32_t>(random() % std::uint32_t(n)));
      }
      std::sort(cols.begin() + std::ptrdiff_t(begin), cols.end());
      cols.erase(std::unique(cols.begin() + std::ptrdiff_t(begin), cols.end()), cols.end());
      offsets.push_back(std::ssize(cols));
    }
  }
};

/// Goal: under 0.2 s for 10 million on one core.
void mask_from_csr(benchmark::State& state, bool window) {
  const Csr csr(16384, 620, window);
  for (auto _ : state) {
    benchmark::DoNotOptimize(BlockMask::from_csr({csr.n, csr.n, csr.offsets, csr.cols}, {}, 1));
  }
  state.counters["non_zeros"] = static_cast<double>(csr.cols.size());
}
BENCHMARK_CAPTURE(mask_from_csr, window, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(mask_from_csr, random, false)->Unit(benchmark::kMillisecond);

}  // namespace

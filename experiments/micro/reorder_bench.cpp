// SPDX-License-Identifier: Apache-2.0
//
// What libreorder costs: linear passes and orderings on a mask of 10 M entries (n = 16,384), and on
// a million rows of 64 random entries, where every access to a column is a cache miss.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "reorder/objective.hpp"
#include "reorder/pipeline.hpp"

namespace {

using reorder::Csr;
using reorder::Ordering;
using reorder::Permutation;
using reorder::Tile;

constexpr Tile kTile{.rows = 128, .cols = 128};

std::uint64_t next_random(std::uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return state >> 33;
}

Permutation shuffled(std::int32_t n, std::uint64_t seed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  for (std::int32_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[next_random(seed) % i]);
  }
  return Permutation(std::move(order));
}

/// A window of ±width and the first `globals` rows and columns.
Csr longformer(std::int32_t n, std::int32_t width, std::int32_t globals) {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> cols;
  for (std::int32_t i = 0; i < n; ++i) {
    const std::int32_t begin = i < globals ? 0 : std::max(globals, i - width);
    const std::int32_t end = i < globals ? n : std::min(n, i + width + 1);
    if (i >= globals) {
      for (std::int32_t j = 0; j < globals; ++j) cols.push_back(j);
    }
    for (std::int32_t j = begin; j < end; ++j) cols.push_back(j);
    offsets.push_back(static_cast<std::int64_t>(cols.size()));
  }
  return Csr::trusted(n, n, std::move(offsets), std::move(cols));
}

/// `degree` draws a row, sorted and merged.
Csr random_rows(std::int32_t n, std::int32_t degree) {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> cols;
  cols.reserve(static_cast<std::size_t>(n) * static_cast<std::size_t>(degree));
  std::uint64_t state = 1;
  for (std::int32_t i = 0; i < n; ++i) {
    const auto begin = static_cast<std::ptrdiff_t>(cols.size());
    for (std::int32_t k = 0; k < degree; ++k) {
      cols.push_back(static_cast<std::int32_t>(next_random(state) % static_cast<std::uint64_t>(n)));
    }
    std::sort(cols.begin() + begin, cols.end());
    cols.erase(std::unique(cols.begin() + begin, cols.end()), cols.end());
    offsets.push_back(static_cast<std::int64_t>(cols.size()));
  }
  return Csr::trusted(n, n, std::move(offsets), std::move(cols));
}

/// Longformer ±256 with 64 globals: 10.4 M entries. In its own order, and shuffled.
const Csr& natural_10m() {
  static const Csr mask = longformer(16384, 256, 64);
  return mask;
}
const Csr& shuffled_10m() {
  static const Csr mask = reorder::permute(natural_10m(), Ordering::same(shuffled(16384, 1)));
  return mask;
}
/// A band alone, shuffled: what RCM has to walk through level by level.
const Csr& shuffled_band() {
  static const Csr mask =
      reorder::permute(longformer(16384, 305, 0), Ordering::same(shuffled(16384, 1)));
  return mask;
}
const Csr& random_1m() {
  static const Csr mask = random_rows(1'000'000, 64);
  return mask;
}

using Mask = const Csr& (*)();

void report_rate(benchmark::State& state, const Csr& mask) {
  state.counters["nnz"] = static_cast<double>(mask.nnz());
  state.counters["nnz/s"] = benchmark::Counter(static_cast<double>(mask.nnz()),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

void count_tiles(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  const Ordering ordering = Ordering::same(shuffled(mask.n_rows(), 2));
  for (auto _ : state) benchmark::DoNotOptimize(reorder::count_tiles(mask, ordering, kTile));
  report_rate(state, mask);
}

void count_tiles_natural(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  for (auto _ : state) benchmark::DoNotOptimize(reorder::count_tiles(mask, kTile));
  report_rate(state, mask);
}

void gather_objective(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  const Ordering ordering = Ordering::same(shuffled(mask.n_rows(), 2));
  const reorder::Objective objective{.kind = reorder::Objective::Kind::gather, .tile = kTile};
  for (auto _ : state) benchmark::DoNotOptimize(reorder::evaluate(objective, mask, ordering));
  report_rate(state, mask);
}

void lower_bound(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  for (auto _ : state) benchmark::DoNotOptimize(reorder::tile_lower_bound(mask, kTile));
  report_rate(state, mask);
}

void validate(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  for (auto _ : state) reorder::validate(mask);
  report_rate(state, mask);
}

void transpose(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  for (auto _ : state) benchmark::DoNotOptimize(reorder::transpose(mask));
  report_rate(state, mask);
}

void is_symmetric(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  for (auto _ : state) benchmark::DoNotOptimize(reorder::is_symmetric(mask));
  report_rate(state, mask);
}

void symmetrize(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  for (auto _ : state) {
    benchmark::DoNotOptimize(reorder::symmetrize(mask, reorder::Diagonal::drop));
  }
  report_rate(state, mask);
}

void permute(benchmark::State& state, Mask make) {
  const Csr& mask = make();
  const Ordering ordering = Ordering::same(shuffled(mask.n_rows(), 2));
  for (auto _ : state) benchmark::DoNotOptimize(reorder::permute(mask, ordering));
  report_rate(state, mask);
}

/// The ordering alone, as the pipeline's report has it.
void order(benchmark::State& state, Mask make, const std::string& text) {
  const Csr& mask = make();
  const auto pipeline = reorder::Pipeline::parse(text, reorder::Registry::with_builtins());
  const reorder::Context context{.objective = reorder::Objective::tiles(kTile)};
  for (auto _ : state) {
    const auto result = pipeline.run(mask, context);
    state.SetIterationTime(result.report.seconds);
    state.counters["tiles"] = static_cast<double>(result.report.after.nonempty);
  }
  report_rate(state, mask);
}

#define FOR_MASKS(function)                                                               \
  BENCHMARK_CAPTURE(function, natural_10m, natural_10m)->Unit(benchmark::kMillisecond);   \
  BENCHMARK_CAPTURE(function, shuffled_10m, shuffled_10m)->Unit(benchmark::kMillisecond); \
  BENCHMARK_CAPTURE(function, random_1m, random_1m)->Unit(benchmark::kMillisecond)

FOR_MASKS(count_tiles_natural);
FOR_MASKS(count_tiles);
FOR_MASKS(gather_objective);
FOR_MASKS(lower_bound);
FOR_MASKS(validate);
FOR_MASKS(transpose);
FOR_MASKS(is_symmetric);
FOR_MASKS(symmetrize);
FOR_MASKS(permute);

#define ORDER(name, mask, text) \
  BENCHMARK_CAPTURE(order, name, mask, text)->Unit(benchmark::kMillisecond)->UseManualTime()

ORDER(rcm_shuffled_10m, shuffled_10m, "rcm");
ORDER(rcm_shuffled_band, shuffled_band, "rcm");
ORDER(rcm_boost_shuffled_band, shuffled_band, "rcm_boost");
ORDER(peel_rcm_shuffled_10m, shuffled_10m, "peel|rcm");
ORDER(amd_shuffled_10m, shuffled_10m, "amd");

}  // namespace

BENCHMARK_MAIN();

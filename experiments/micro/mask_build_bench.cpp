// SPDX-License-Identifier: Apache-2.0
//
// How long a mask takes to become the lists and bits that the Hopper kernels read: built on the
// device from a dense matrix, packed bits, CSR and coordinates, and on the host from CSR. Times are
// whole calls of DeviceBlockMask::build into memory that is already there, the wait for the counts
// included; "first" also allocates.
//
//     mask_build_bench [--samples S] [--dense-only] [MASK...]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "attn/attention.hpp"
#include "attn/device_block_mask.hpp"
#include "masks/mask.hpp"
#include "reorder/csr.hpp"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(int samples, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < samples; ++i) times.push_back(milliseconds(work));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Host memory copied to the device.
template <class T>
struct Upload {
  attn::Buffer memory;
  std::span<const T> view;

  explicit Upload(std::span<const T> host)
      : memory(attn::backend("hopper").allocate(host.size_bytes())),
        view(static_cast<const T*>(memory.get()), host.size()) {
    attn::backend("hopper").copy_in(memory.get(), host.data(), host.size_bytes());
  }
};

std::vector<std::uint8_t> dense_bytes(const reorder::CsrView& mask) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(mask.n_rows) *
                                  static_cast<std::size_t>(mask.n_cols));
  for (std::int32_t i = 0; i < mask.n_rows; ++i) {
    std::uint8_t* const row =
        bytes.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(mask.n_cols);
    for (const std::int32_t j : mask.row(i)) row[j] = 1;
  }
  return bytes;
}

std::vector<std::uint8_t> dense_bits(const reorder::CsrView& mask) {
  const std::size_t stride = (static_cast<std::size_t>(mask.n_cols) + 7) / 8;
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(mask.n_rows) * stride);
  for (std::int32_t i = 0; i < mask.n_rows; ++i) {
    std::uint8_t* const row = bits.data() + static_cast<std::size_t>(i) * stride;
    for (const std::int32_t j : mask.row(i)) {
      row[j / 8] = static_cast<std::uint8_t>(row[j / 8] | (1U << (j % 8)));
    }
  }
  return bits;
}

class Report {
 public:
  Report(const std::string& name, const reorder::CsrView& mask, int samples)
      : name_(name), mask_(mask), samples_(samples) {}

  template <class Pattern>
  void device(const char* source, const Pattern& pattern) {
    std::optional<attn::DeviceBlockMask> built;
    const double first = milliseconds([&] { built.emplace().build(pattern); });
    const auto again = [&] { built->build(pattern); };
    (void)median(5, again);
    const double ms = median(samples_, again);
    std::printf("%-34s %9lld non-zeros %7lld strips %7lld stored  %-6s %8.4f ms  first %8.3f\n",
                name_.c_str(), static_cast<long long>(mask_.nnz()),
                static_cast<long long>(built->visited_strips()),
                static_cast<long long>(built->stored_strips()), source, ms, first);
    std::fflush(stdout);
  }

  void host() {
    const attn::CsrPattern pattern{mask_.n_rows, mask_.n_cols, mask_.row_offsets,
                                   mask_.col_indices};
    std::optional<attn::BlockMask> tiles;
    const double build = milliseconds([&] {
      tiles = attn::BlockMask::from_csr(pattern, {128, 128}, 0);
    });
    const double prepare = milliseconds([&] { (void)attn::backend("hopper").prepare(*tiles); });
    std::printf("%-34s %9lld non-zeros  host: BlockMask from CSR %.1f ms, prepare %.1f ms\n",
                name_.c_str(), static_cast<long long>(mask_.nnz()), build, prepare);
  }

 private:
  std::string name_;
  reorder::CsrView mask_;
  int samples_;
};

void run(const std::string& name, int samples, bool dense_only) {
  const masks::Mask mask = masks::make(name);
  const reorder::CsrView view = mask.pattern.view();
  Report report(name, view, samples);
  if (std::int64_t{view.n_rows} * view.n_cols <= std::int64_t{1} << 30) {
    const Upload<std::uint8_t> bytes(dense_bytes(view));
    report.device("bytes",
                  attn::DensePattern{view.n_rows, view.n_cols, bytes.view.data(), view.n_cols});
    const Upload<std::uint8_t> bits(dense_bits(view));
    report.device("bits",
                  attn::DensePattern{view.n_rows, view.n_cols, bits.view.data(),
                                     (view.n_cols + 7) / 8, attn::DensePattern::Format::bits});
  }
  if (dense_only) return;
  const Upload<std::int64_t> offsets(view.row_offsets);
  const Upload<std::int32_t> cols(view.col_indices);
  report.device("CSR", attn::CsrPattern{view.n_rows, view.n_cols, offsets.view, cols.view});
  std::vector<std::int32_t> rows;
  rows.reserve(static_cast<std::size_t>(view.nnz()));
  for (std::int32_t i = 0; i < view.n_rows; ++i) rows.insert(rows.end(), view.row(i).size(), i);
  const Upload<std::int32_t> coo_rows(rows);
  report.device("COO", attn::CooPattern{view.n_rows, view.n_cols, coo_rows.view, cols.view});
  report.host();
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names;
  int samples = 50;
  bool dense_only = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--samples" && i + 1 < argc) {
      samples = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--dense-only") {
      dense_only = true;
    } else {
      names.push_back(argument);
    }
  }
  if (names.empty()) {
    names = {"window(n=16384,window=488)", "random(n=16384,density=0.06)", "peer:window128",
             "peer:causal", "peer:docs_mean1024"};
  }
  const std::string& why = attn::backend("hopper").info().unavailable;
  if (!why.empty()) {
    std::printf("skipped: the backend hopper cannot run here: %s\n", why.c_str());
    return 77;
  }
  try {
    for (const std::string& name : names) run(name, samples, dense_only);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mask_build_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}

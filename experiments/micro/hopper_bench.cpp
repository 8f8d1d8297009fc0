// SPDX-License-Identifier: Apache-2.0
//
// The Hopper backend on the masks that its peers were measured on: N = 16384, B = 4, bf16, H = 16
// at head_dim 128 and H = 32 at head_dim 64. Prints a median of each, the rate on the 64x64
// quadrants that it computes, and the worst error of sampled rows against fp64.
//
//     hopper_bench [--samples S] [--dim D] [--batch B] [--heads H] [--graph] [--algorithm A]
//                  [MASK[@PIPELINE | @@PIPELINE]...]
//
// A MASK is a text for masks::make. With a PIPELINE the mask is reordered, and the tensors stay in
// the mask's own order: the kernel follows the permutations, and the time includes that; after @@
// they are in the new order as well. With --graph a sample is a tenth of a CUDA graph of ten calls,
// as launches bound small masks.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "attn/attention.hpp"
#include "ordered_mask.hpp"
#include "random_bf16.hpp"
#include "reorder/csr.hpp"

namespace {

struct Size {
  std::int64_t batch = 4;
  std::int64_t heads = 0;  ///< 0: 2048 / head_dim
  bool graph = false;
};

/// One head_dim's tensors, on the host and on the device.
struct Problem {
  std::int64_t batch, n, dim, heads;
  std::vector<std::uint16_t> q, k, v, o;
  attn::Buffer device_q, device_k, device_v, device_o, device_lse;
  attn::ForwardArgs args;

  Problem(const attn::Backend& backend, const Size& size, std::int64_t n_tokens,
          std::int64_t head_dim)
      : batch(size.batch),
        n(n_tokens),
        dim(head_dim),
        heads(size.heads != 0 ? size.heads : 2048 / head_dim) {
    const auto count = static_cast<std::size_t>(batch * heads * n * dim);
    q = random_bf16(count, 1);
    k = random_bf16(count, 2);
    v = random_bf16(count, 3);
    o.resize(count);
    const std::array shape{batch, heads, n, dim};
    const auto upload = [&](attn::Buffer& buffer, const std::vector<std::uint16_t>& host) {
      buffer = backend.allocate(count * 2);
      backend.copy_in(buffer.get(), host.data(), count * 2);
      return attn::contiguous(buffer.get(), attn::DType::bf16, shape);
    };
    args.q = upload(device_q, q);
    args.k = upload(device_k, k);
    args.v = upload(device_v, v);
    args.o = upload(device_o, o);
    device_lse = backend.allocate(count / static_cast<std::size_t>(dim) * 4);
    args.lse = attn::contiguous(device_lse.get(), attn::DType::f32, {batch, heads, n, 1});
  }
};

/// The worst |O − fp64| of some rows.
double sampled_error(const attn::Backend& backend, Problem& p, const reorder::Csr& mask) {
  backend.copy_out(p.o.data(), p.args.o.data, p.o.size() * 2);
  std::mt19937_64 random(7);
  double worst = 0;
  const auto value = [](std::uint16_t bits) { return double{attn::bfloat16_to_float(bits)}; };
  for (int sample = 0; sample < 48; ++sample) {
    const auto head =
        static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(p.batch * p.heads));
    const auto i = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(p.n));
    const std::size_t base = static_cast<std::size_t>(head * p.n * p.dim);
    const std::size_t row = base + static_cast<std::size_t>(i * p.dim);
    const auto dim = static_cast<std::size_t>(p.dim);
    std::vector<double> scores;
    std::vector<double> out(dim, 0.0);
    const auto keys = mask.view().row(static_cast<std::int32_t>(i));
    double max = -INFINITY;
    for (const std::int32_t key : keys) {
      double dot = 0;
      for (std::size_t d = 0; d < dim; ++d) {
        dot += value(p.q[row + d]) * value(p.k[base + static_cast<std::size_t>(key) * dim + d]);
      }
      scores.push_back(dot / std::sqrt(static_cast<double>(p.dim)));
      max = std::max(max, scores.back());
    }
    double sum = 0;
    for (std::size_t c = 0; c < scores.size(); ++c) {
      const double weight = std::exp(scores[c] - max);
      sum += weight;
      for (std::size_t d = 0; d < dim; ++d) {
        out[d] += weight * value(p.v[base + static_cast<std::size_t>(keys[c]) * dim + d]);
      }
    }
    for (std::size_t d = 0; d < dim; ++d) {
      const double expected = scores.empty() ? 0 : out[d] / sum;
      const double error = std::abs(value(p.o[row + d]) - expected);
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  }
  return worst;
}

/// A CUDA graph of a plan's calls.
class Graph {
 public:
  static constexpr int kCalls = 10;

  Graph(const attn::Plan& plan, attn::ForwardArgs args) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    args.stream = stream_;
    plan.forward(args);
    cudaGraph_t graph{};
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < kCalls; ++i) plan.forward(args);
    check(cudaStreamEndCapture(stream_, &graph));
    check(cudaGraphInstantiate(&replay_, graph, 0));
    check(cudaGraphDestroy(graph));
    check(cudaStreamSynchronize(stream_));
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    cudaGraphExecDestroy(replay_);
    cudaStreamDestroy(stream_);
  }

  /// On the default stream, whose events time it.
  void run() const { check(cudaGraphLaunch(replay_, nullptr)); }

 private:
  static void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
  }
  cudaStream_t stream_{};
  cudaGraphExec_t replay_{};
};

/// 64x64 quadrants that hold anything.
std::int64_t quadrants(const attn::BlockMask& mask) {
  return mask.full_count() + mask.partial_count();
}

void run(const std::vector<std::string>& names, const std::vector<std::int64_t>& dims,
         const Size& size, int samples, attn::Algorithm algorithm) {
  const attn::Backend& backend = attn::backend("hopper");
  std::vector<std::string> lines;
  for (const std::int64_t dim : dims) {
    std::unique_ptr<Problem> problem;
    for (const std::string& name : names) {
      const OrderedMask mask(name);
      attn::PrepareOptions options;
      options.algorithm = algorithm;
      mask.set_orders(options);
      const attn::CsrPattern pattern = mask.pattern();
      const attn::BlockMask tiles = attn::BlockMask::from_csr(pattern, {128, 128}, 0);
      const attn::BlockMask small = attn::BlockMask::from_csr(pattern, {64, 64}, 0);
      if (problem == nullptr || problem->n != pattern.n_q) {
        problem = std::make_unique<Problem>(backend, size, pattern.n_q, dim);
      }
      const auto plan = backend.prepare(tiles, options);
      attn::ForwardArgs args = problem->args;
      args.workspace_bytes = plan->forward_workspace(args);
      const attn::Buffer workspace = backend.allocate(args.workspace_bytes);
      args.workspace = workspace.get();
      const auto work = [&] { plan->forward(args); };
      (void)backend.time(work, 3);
      const double error = sampled_error(backend, *problem, mask.natural());
      std::vector<double> seconds;
      if (size.graph) {
        const Graph graph(*plan, args);
        seconds = backend.time([&] { graph.run(); }, samples);
        for (double& sample : seconds) sample /= Graph::kCalls;
      } else {
        seconds = backend.time(work, samples);
      }
      std::sort(seconds.begin(), seconds.end());
      const double median = seconds[seconds.size() / 2];
      const double heads = static_cast<double>(problem->batch * problem->heads);
      const double per_head = 4.0 * static_cast<double>(dim) * heads;
      const double on_tiles = per_head * 128.0 * 128.0 * static_cast<double>(quadrants(tiles));
      const double on_quadrants = per_head * 64.0 * 64.0 * static_cast<double>(quadrants(small));
      char line[256];
      std::snprintf(line, sizeof line,
                    "D=%-3ld %-32s %6ld tiles %7ld quads %8.3f ms (min %7.3f) %5.0f TF/s on tiles "
                    "%5.0f on quads  err %.1e",
                    dim, name.c_str(), quadrants(tiles), quadrants(small), median * 1e3,
                    seconds.front() * 1e3, on_tiles / median * 1e-12, on_quadrants / median * 1e-12,
                    error);
      std::printf("%s\n", line);
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names;
  std::vector<std::int64_t> dims{128, 64};
  int samples = 20;
  Size size;
  attn::Algorithm algorithm = attn::Algorithm::lists;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--samples" && i + 1 < argc) {
      samples = std::atoi(argv[++i]);
    } else if (argument == "--batch" && i + 1 < argc) {
      size.batch = std::atoll(argv[++i]);
    } else if (argument == "--heads" && i + 1 < argc) {
      size.heads = std::atoll(argv[++i]);
    } else if (argument == "--graph") {
      size.graph = true;
    } else if (argument == "--algorithm" && i + 1 < argc) {
      algorithm = attn::parse_algorithm(argv[++i]);
    } else if (argument == "--dim" && i + 1 < argc) {
      dims = {std::atoll(argv[++i])};
    } else {
      names.push_back(argument);
    }
  }
  if (names.empty()) {
    for (const char* name :
         {"dense", "causal", "window128", "causal_window256", "longformer_w256_g64",
          "longformer_w128_dil8_g16", "bigbird_w96_g64_r3", "alpaca_like_mean270", "docs_mean1024",
          "tree64_packed", "cdw_sinks"}) {
      names.push_back(std::string("peer:") + name);
    }
  }
  const std::string& why = attn::backend("hopper").info().unavailable;
  if (!why.empty()) {
    std::printf("skipped: the backend hopper cannot run here: %s\n", why.c_str());
    return 77;
  }
  try {
    run(names, dims, size, samples, algorithm);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hopper_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}

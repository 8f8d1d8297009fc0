// SPDX-License-Identifier: Apache-2.0
//
// The backward pass of the Hopper backend on the masks that its peers were measured on: N = 16384,
// B = 4, bf16, H = 16 at head_dim 128 and H = 32 at head_dim 64. Prints median and minimum in two
// passes and in one, with and without an order of its sums, with the worst error of sampled
// gradients against fp64, the best rate at 10 B H D flops a pair of the 64x64 quadrants that hold
// anything, and what the order costs.
//
//     hopper_backward_bench [--samples S] [--dim D] [--way two-pass | ordered | unordered]...
//                           [--no-check] [MASK[@PIPELINE | @@PIPELINE]...]
//
// A MASK is a text for masks::make. With a PIPELINE the mask is reordered, the tensors stay in the
// mask's own order, and the time includes following the permutations; after @@ they are in the new
// order as well.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "attn/attention.hpp"
#include "ordered_mask.hpp"
#include "random_bf16.hpp"
#include "reorder/csr.hpp"

namespace {

constexpr std::int64_t kBatch = 4;

/// A tensor on the host and on the device.
struct Operand {
  std::vector<std::uint16_t> host;
  attn::Buffer memory;
  attn::TensorView view;

  Operand(const attn::Backend& backend, const std::array<std::int64_t, 4>& shape,
          std::uint64_t seed)
      : host(
            random_bf16(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]), seed)),
        memory(backend.allocate(host.size() * 2)),
        view(attn::contiguous(memory.get(), attn::DType::bf16, shape)) {
    backend.copy_in(memory.get(), host.data(), host.size() * 2);
  }
  /// `count` numbers from `first` on.
  void fetch(const attn::Backend& backend, std::size_t first, std::size_t count) {
    backend.copy_out(host.data() + first, static_cast<std::uint16_t*>(memory.get()) + first,
                     count * 2);
  }
  [[nodiscard]] double at(std::size_t n) const { return attn::bfloat16_to_float(host[n]); }
};

struct Problem {
  std::int64_t n, dim, heads;
  std::array<std::int64_t, 4> shape;
  Operand q, k, v, o, d_o, dq, dk, dv;
  std::vector<float> lse;
  attn::Buffer device_lse;
  attn::TensorView lse_view;

  Problem(const attn::Backend& backend, std::int64_t tokens, std::int64_t head_dim)
      : n(tokens),
        dim(head_dim),
        heads(2048 / head_dim),
        shape{kBatch, heads, n, dim},
        q(backend, shape, 1),
        k(backend, shape, 2),
        v(backend, shape, 3),
        o(backend, shape, 4),
        d_o(backend, shape, 5),
        dq(backend, shape, 6),
        dk(backend, shape, 7),
        dv(backend, shape, 8),
        lse(static_cast<std::size_t>(kBatch * heads * n)),
        device_lse(backend.allocate(lse.size() * 4)),
        lse_view(attn::contiguous(device_lse.get(), attn::DType::f32, {kBatch, heads, n, 1})) {}

  [[nodiscard]] attn::BackwardArgs args() const {
    attn::BackwardArgs a;
    a.q = q.view;
    a.k = k.view;
    a.v = v.view;
    a.o = o.view;
    a.d_o = d_o.view;
    a.lse = lse_view;
    a.dq = dq.view;
    a.dk = dk.view;
    a.dv = dv.view;
    return a;
  }
};

/// Of some rows of dQ, dK and dV the worst error, given the device's own O and LSE.
class Sampler {
 public:
  Sampler(const attn::Backend& backend, Problem& p, const reorder::Csr& mask)
      : backend_(backend), p_(p), mask_(mask) {
    backend.copy_out(p.lse.data(), p.device_lse.get(), p.lse.size() * 4);
  }

  double worst() {
    std::mt19937_64 random(7);
    std::size_t head = 0;
    for (int sample = 0; sample < 24; ++sample) {
      if (sample % 4 == 0) {
        head = static_cast<std::size_t>(random() % static_cast<std::uint64_t>(kBatch * p_.heads));
        for (Operand* tensor : {&p_.o, &p_.dq, &p_.dk, &p_.dv}) {
          tensor->fetch(backend_, place(head, 0), static_cast<std::size_t>(p_.n * p_.dim));
        }
      }
      const auto row = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(p_.n));
      check_query(head, row);
      check_key(head, sample < 4 ? sample : row);
    }
    return worst_;
  }

 private:
  [[nodiscard]] std::size_t place(std::size_t head, std::int32_t row) const {
    return (head * static_cast<std::size_t>(p_.n) + static_cast<std::size_t>(row)) *
           static_cast<std::size_t>(p_.dim);
  }
  [[nodiscard]] double dot(const Operand& a, std::size_t x, const Operand& b, std::size_t y) const {
    double sum = 0;
    for (std::size_t d = 0; d < static_cast<std::size_t>(p_.dim); ++d) {
      sum += a.at(x + d) * b.at(y + d);
    }
    return sum;
  }

  struct Weights {
    double p, ds;
  };
  [[nodiscard]] Weights weights(std::size_t query, std::size_t key) const {
    const double scale = 1 / std::sqrt(static_cast<double>(p_.dim));
    const double p = std::exp(scale * dot(p_.q, query, p_.k, key) -
                              double{p_.lse[query / static_cast<std::size_t>(p_.dim)]});
    return {p, scale * p * (dot(p_.d_o, query, p_.v, key) - dot(p_.d_o, query, p_.o, query))};
  }

  void compare(const Operand& got, std::size_t at, const std::vector<double>& want) {
    for (std::size_t d = 0; d < want.size(); ++d) {
      const double error = std::abs(got.at(at + d) - want[d]);
      worst_ = std::isnan(error) ? INFINITY : std::max(worst_, error);
    }
  }

  void check_query(std::size_t head, std::int32_t i) {
    std::vector<double> dq(static_cast<std::size_t>(p_.dim), 0.0);
    const std::size_t query = place(head, i);
    for (const std::int32_t j : mask_.view().row(i)) {
      const std::size_t key = place(head, j);
      const Weights w = weights(query, key);
      for (std::size_t d = 0; d < dq.size(); ++d) dq[d] += w.ds * p_.k.at(key + d);
    }
    compare(p_.dq, query, dq);
  }

  void check_key(std::size_t head, std::int32_t j) {
    std::vector<double> dk(static_cast<std::size_t>(p_.dim), 0.0);
    std::vector<double> dv = dk;
    const std::size_t key = place(head, j);
    for (std::int32_t i = 0; i < p_.n; ++i) {
      const auto row = mask_.view().row(i);
      if (!std::binary_search(row.begin(), row.end(), j)) continue;
      const std::size_t query = place(head, i);
      const Weights w = weights(query, key);
      for (std::size_t d = 0; d < dk.size(); ++d) {
        dk[d] += w.ds * p_.q.at(query + d);
        dv[d] += w.p * p_.d_o.at(query + d);
      }
    }
    compare(p_.dk, key, dk);
    compare(p_.dv, key, dv);
  }

  const attn::Backend& backend_;
  Problem& p_;
  const reorder::Csr& mask_;
  double worst_ = 0;
};

double median(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

/// Says where a run stands, for those who wait.
void say(const char* what) {
  std::fprintf(stderr, "  %s\n", what);
}

/// A mask, in its order and in tiles.
struct TiledMask {
  OrderedMask mask;
  attn::BlockMask tiles;

  explicit TiledMask(const std::string& name)
      : mask(name), tiles(attn::BlockMask::from_csr(mask.pattern(), {64, 64}, 0)) {}
};

/// A way to make gradients.
struct Way {
  const char* name;
  int passes;
  bool deterministic;
};
constexpr Way kWays[] = {{"two-pass", 2, true}, {"ordered", 1, true}, {"unordered", 1, false}};

struct Options {
  std::vector<std::int64_t> dims{128, 64};
  int samples = 20;
  bool check = true;
  std::vector<std::string> ways;  ///< empty: all

  [[nodiscard]] bool asks_for(const Way& way) const {
    return ways.empty() || std::find(ways.begin(), ways.end(), way.name) != ways.end();
  }
};

/// The median in seconds of one way, printed with the minimum and the worst error.
double measure(const attn::Backend& backend, Problem& p, const TiledMask& mask, const Way& way,
               const Options& options) {
  attn::PrepareOptions prepare{.backward = true, .backward_passes = way.passes};
  mask.mask.set_orders(prepare);
  const auto plan = backend.prepare(mask.tiles, prepare);
  plan->forward({.q = p.q.view, .k = p.k.view, .v = p.v.view, .o = p.o.view, .lse = p.lse_view});
  attn::BackwardArgs args = p.args();
  args.deterministic = way.deterministic;
  args.workspace_bytes = plan->backward_workspace(args);
  const attn::Buffer workspace = backend.allocate(args.workspace_bytes);
  args.workspace = workspace.get();
  const auto work = [&] { plan->backward(args); };
  (void)backend.time([] {}, 1);  // waits for what is under way
  say(way.name);
  (void)backend.time(work, 2);
  std::string error;
  if (options.check) {
    say("sampled gradients");
    char text[16];
    std::snprintf(text, sizeof text, " err %.0e", Sampler(backend, p, mask.mask.natural()).worst());
    error = text;
  }
  const std::vector<double> seconds = backend.time(work, options.samples);
  const double least = *std::min_element(seconds.begin(), seconds.end());
  std::printf("  %s %7.3f ms (min %7.3f)%s", way.name, median(seconds) * 1e3, least * 1e3,
              error.c_str());
  std::fflush(stdout);
  return median(seconds);
}

void measure(const attn::Backend& backend, Problem& p, const std::string& name,
             const TiledMask& mask, const Options& options) {
  say(name.c_str());
  const auto quadrants = static_cast<double>(mask.tiles.full_count() + mask.tiles.partial_count());
  std::printf("D=%-3ld %-30s %6.0f quads", p.dim, name.c_str(), quadrants);
  std::map<std::string, double> seconds;
  double best = INFINITY;
  for (const Way& way : kWays) {
    if (!options.asks_for(way)) continue;
    seconds[way.name] = measure(backend, p, mask, way, options);
    best = std::min(best, seconds[way.name]);
  }
  const double flops = 10.0 * static_cast<double>(kBatch * p.heads * p.dim) * 64 * 64 * quadrants;
  std::printf("  best %4.0f TF/s", flops / best * 1e-12);
  if (seconds.contains("ordered") && seconds.contains("unordered")) {
    std::printf("  order costs %+.1f %%", (seconds["ordered"] / seconds["unordered"] - 1) * 100);
  }
  std::printf("\n");
  std::fflush(stdout);
}

void run(const std::vector<std::string>& names, const Options& options) {
  const attn::Backend& backend = attn::backend("hopper");
  std::vector<std::future<std::unique_ptr<const TiledMask>>> masks;
  masks.reserve(names.size());
  for (const std::string& name : names) {
    masks.push_back(std::async(std::launch::async,
                               [&name] { return std::make_unique<const TiledMask>(name); }));
  }
  std::map<std::int64_t, std::unique_ptr<Problem>> problems;  // by head_dim
  for (std::size_t m = 0; m < names.size(); ++m) {
    const auto mask = masks[m].get();
    for (const std::int64_t dim : options.dims) {
      std::unique_ptr<Problem>& problem = problems[dim];
      const std::int64_t n = mask->mask.pattern().n_q;
      if (problem == nullptr || problem->n != n) {
        problem = nullptr;  // two at once may not fit
        problem = std::make_unique<Problem>(backend, n, dim);
      }
      measure(backend, *problem, names[m], *mask, options);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names;
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--samples" && i + 1 < argc) {
      options.samples = std::atoi(argv[++i]);
    } else if (argument == "--dim" && i + 1 < argc) {
      options.dims = {std::atoll(argv[++i])};
    } else if (argument == "--way" && i + 1 < argc) {
      options.ways.emplace_back(argv[++i]);
    } else if (argument == "--no-check") {
      options.check = false;
    } else {
      names.push_back(argument);
    }
  }
  if (names.empty()) {
    for (const char* name : {"dense", "causal", "window128", "causal_window256",
                             "longformer_w256_g64", "bigbird_w96_g64_r3", "alpaca_like_mean270",
                             "docs_mean1024", "tree64_packed", "cdw_sinks"}) {
      names.push_back(std::string("peer:") + name);
    }
    names.emplace_back("peer:longformer_w128_dil8_g16@peel|rcm");
    names.emplace_back("peer:shuffled_docs1024@rcm");
  }
  const std::string& why = attn::backend("hopper").info().unavailable;
  if (!why.empty()) {
    std::printf("skipped: the backend hopper cannot run here: %s\n", why.c_str());
    return 77;
  }
  try {
    run(names, options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hopper_backward_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "experiments/calibrate.hpp"

#include <algorithm>
#include <ctime>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "attn/error.hpp"
#include "experiments/build_mask.hpp"
#include "experiments/environment.hpp"
#include "experiments/fit.hpp"
#include "experiments/gpu.hpp"
#include "experiments/operands.hpp"
#include "experiments/parameters.hpp"
#include "experiments/tensor_cache.hpp"
#include "masks/mask.hpp"
#include "reorder/pipeline.hpp"

namespace experiments {
namespace {

// {n} is the number of tokens. All full, all partial, many and few of both, and rows with next to
// nothing, so that no coefficient hides behind another.
constexpr const char* kMasks[] = {
    "dense(n={n})",
    "causal(n={n})",
    "docs(n={n},median=512,seed=1)",
    "window(n={n},window=256)",
    "window(n={n},window=512,mode=causal)",
    "longformer(n={n},window=128,globals=64)",
    "longformer(n={n},window=32,dilation=8,globals=16)",
    "bigbird(n={n},seed=1)",
    "random(n={n},density=0.01,seed=1)",
    "random(n={n},density=0.00005,seed=1)",
    "trees(n={n},nodes=64,seed=1)",
    "knn(n={n},k=16,seed=1)|shuffle(seed=1)",
};
// Of a sixteenth of the tokens: what a call costs by itself.
constexpr const char* kSmallMasks[] = {
    "dense(n={n})",
    "causal(n={n})",
    "window(n={n},window=16)",
};
// With one head: what a row costs that no other is left to hide.
constexpr const char* kLoneMasks[] = {
    "window(n={n},window=256)",
    "docs(n={n},median=512,seed=1)",
    "longformer(n={n},window=128,globals=64)",
    "longformer(n={n},window=32,dilation=8,globals=16)",
    "bigbird(n={n},seed=1)",
};
// Read through a random order as well.
constexpr const char* kGathered[] = {
    "window(n={n},window=256)",
    "docs(n={n},median=512,seed=1)",
    "trees(n={n},nodes=64,seed=1)",
};
constexpr const char* kOrdered[] = {
    "docs(n=16384,median=270,mode=prompt,seed=1)|shuffle(seed=1)",
    "knn(n=16384,k=16,seed=1)|shuffle(seed=1)",
    "rmat(n=16384,edges=16,seed=1)|shuffle(seed=1)",
};
constexpr int kSmaller = 16;
constexpr std::int64_t kWorkOfAnOrdering = 250'000'000;

std::string sized(std::string text, int n) {
  constexpr std::string_view kSize = "{n}";
  const auto place = text.find(kSize);
  return text.replace(place, kSize.size(), std::to_string(n));
}

/// What else runs on the machine only adds: the fastest round is the cost.
double fastest_ms(const std::vector<double>& seconds) {
  return 1e3 * *std::min_element(seconds.begin(), seconds.end());
}

/// Of this thread, which other programs' work does not enter.
double cpu_seconds() {
  std::timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// 64 where the backend loads so many rows in progression where they lie, else 1. Shorter runs are
/// loaded by more boxes, which save less than the moves cost.
std::int64_t box_of(const attn::Backend& backend) {
  constexpr std::int32_t kBox = 64;
  constexpr std::int32_t kRows = 16 * kBox;
  std::vector<std::int32_t> order;  // boxes of rising rows from the last to the first
  for (std::int32_t begin = kRows - kBox; begin >= 0; begin -= kBox) {
    for (std::int32_t i = 0; i < kBox; ++i) order.push_back(begin + i);
  }
  return backend.rows_copied(order) < kRows ? kBox : 1;
}

/// One mask, ready to run in its own order and, where asked for, through a random one.
struct Subject {
  CostPoint point;  ///< tiles of all heads
  CostPoint walk;   ///< what a call goes through
  const Operands* operands = nullptr;
  std::unique_ptr<attn::Plan> plan;
  std::unique_ptr<attn::Plan> through_orders;
};

class Bench {
 public:
  explicit Bench(const CalibrateOptions& options)
      : options_(options), backend_(attn::backend(options.setting.backend)) {
    if (!backend_.info().unavailable.empty()) {
      throw attn::Error(attn::ErrorCode::no_device,
                        "backend " + options.setting.backend + ": " + backend_.info().unavailable);
    }
  }

  BackendCost run() {
    for (const char* text : kMasks) add(text, options_.n, options_.setting);
    for (const char* text : kSmallMasks) {
      add(text, std::max(options_.n / kSmaller, 1), options_.setting);
    }
    Problem lone = options_.setting;
    lone.batch = lone.heads = lone.kv_heads = 1;
    for (const char* text : kLoneMasks) add(text, options_.n, lone);
    std::vector<std::function<double()>> arms;
    for (const Subject& subject : subjects_) arms.push_back(timed(*subject.plan, subject));
    for (const Subject& subject : subjects_) {
      if (subject.through_orders) arms.push_back(timed(*subject.through_orders, subject));
    }
    tell("timing " + std::to_string(arms.size()) + " calls in turns");
    const auto samples = interleave(arms, options_.repeats);
    return result(samples);
  }

 private:
  void tell(const std::string& step) const {
    if (options_.on_step) options_.on_step(step);
  }

  static double heads_of(const Problem& setting) {
    return static_cast<double>(setting.batch) * setting.heads;
  }

  void add(const char* text, int n, const Problem& setting) {
    const std::string name = sized(text, n);
    const double heads = heads_of(setting);
    tell(name);
    const masks::Mask mask = masks::make(name);
    const auto pattern = mask.pattern.view();
    Operands& operands = tensors_.get(setting, pattern, backend_).operands;
    const reorder::Tile tile = parse_tile(setting.tile);
    const auto built =
        attn::BlockMask::from_csr(to_attn(pattern), tile_shape(tile), setting.threads);
    if (const auto why = backend_.supports(operands.args(), built)) {
      throw attn::Error(attn::ErrorCode::unsupported, "backend " + setting.backend + ": " + *why);
    }
    attn::PrepareOptions options;
    options.threads = setting.threads;
    Subject subject;
    subject.point = {.full = heads * static_cast<double>(built.full_count()),
                     .partial = heads * static_cast<double>(built.partial_count()),
                     .rows = heads * built.row_tiles()};
    const attn::Walk walk = backend_.walk(tile_shape(tile), setting.head_dim);
    subject.walk = cost_point(
        count_walk(pattern, reorder::Ordering::identity(pattern.n_rows, pattern.n_cols), walk),
        heads);
    subject.operands = &operands;
    subject.plan = backend_.prepare(built, options);
    operands.reserve_workspace(backend_, *subject.plan);
    const auto* const end = std::end(kGathered);
    const bool whole = n == options_.n && heads == heads_of(options_.setting);
    if (whole && std::find(std::begin(kGathered), end, std::string_view(text)) != end) {
      std::vector<std::int32_t> order(static_cast<std::size_t>(pattern.n_rows));
      std::iota(order.begin(), order.end(), 0);
      std::mt19937_64 random(setting.seed);
      std::shuffle(order.begin(), order.end(), random);
      options.q_order = options.kv_order = order;
      subject.through_orders = backend_.prepare(built, options);
      operands.reserve_workspace(backend_, *subject.through_orders);
    }
    subjects_.push_back(std::move(subject));
  }

  std::function<double()> timed(const attn::Plan& plan, const Subject& subject) const {
    return [this, &plan, operands = subject.operands] {
      return backend_.time([&] { plan.forward(operands->args()); }, 1).front();
    };
  }

  BackendCost result(const std::vector<std::vector<double>>& samples) const {
    // Small masks and lone heads would bend the plane that orderings are judged by.
    std::vector<CostPoint> points;
    std::vector<CostPoint> walks;
    std::vector<double> gather;
    std::size_t ordered = subjects_.size();
    for (std::size_t i = 0; i < subjects_.size(); ++i) {
      const double ms = fastest_ms(samples[i]);
      walks.push_back(subjects_[i].walk);
      walks.back().ms = ms;
      if (i >= std::size(kMasks)) continue;
      points.push_back(subjects_[i].point);
      points.back().ms = ms;
      if (!subjects_[i].through_orders) continue;
      gather.push_back((fastest_ms(samples[ordered]) - ms) /
                       (heads_of(options_.setting) * 4 * options_.n));
      ++ordered;
    }
    const CostFit fit = fit_costs(points);
    const Problem& p = options_.setting;
    BackendCost cost;
    cost.backend = p.backend;
    cost.dtype = p.dtype;
    cost.head_dim = p.head_dim;
    cost.tile = to_string(parse_tile(p.tile));
    cost.threads = p.threads;
    cost.t_full = fit.t_full;
    cost.t_partial = fit.t_partial;
    cost.t_row = fit.t_row;
    cost.t_gather = std::max(summarize(gather).median * 1e-3, 0.0);  // it turns s into ms
    cost.box = box_of(backend_);
    cost.r2 = fit.r2;
    cost.worst = fit.worst;
    cost.masks = static_cast<int>(walks.size());
    cost.call = fit_calls(walks, backend_.walk(tile_shape(parse_tile(p.tile)), p.head_dim));
    cost.device = environment().cpu;
    if (backend_.info().device_memory) {
      if (const auto gpu = find_gpu()) cost.device = gpu->name;
    }
    cost.time = now_utc();
    return cost;
  }

  const CalibrateOptions& options_;
  const attn::Backend& backend_;
  TensorCache tensors_{std::numeric_limits<std::size_t>::max()};  ///< all are timed in turns
  std::vector<Subject> subjects_;
};

}  // namespace

BackendCost calibrate_backend(const CalibrateOptions& options) {
  return Bench(options).run();
}

double calibrate_orderings(const CalibrateOptions& options) {
  const auto registry = reorder::Registry::with_builtins();
  const auto pipeline = reorder::Pipeline::parse("auto", registry);
  double slowest = 0;
  for (const char* text : kOrdered) {
    if (options.on_step) options.on_step(std::string("ordering ") + text);
    const masks::Mask mask = masks::make(text);
    reorder::Context context{.objective = reorder::Objective::tiles({128, 128}),
                             .seed = options.setting.seed};
    context.budget.work = kWorkOfAnOrdering;
    const double start = cpu_seconds();
    const auto report = pipeline.run(mask.pattern, context).report;
    const double rate =
        static_cast<double>(report.choice->work) / std::max(cpu_seconds() - start, 1e-9);
    slowest = slowest == 0 ? rate : std::min(slowest, rate);
  }
  return slowest;
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/experiment.hpp"

#include <algorithm>
#include <cmath>

#include "attn/attention.hpp"
#include "attn/error.hpp"
#include "experiments/break_even.hpp"
#include "experiments/build_mask.hpp"
#include "experiments/gpu.hpp"
#include "experiments/operands.hpp"
#include "experiments/parameters.hpp"

namespace experiments {
namespace {

/// One measurement, step by step.
class Measurement {
 public:
  Measurement(const Problem& problem, Workload& workload, const reorder::Registry& registry,
              const MeasureOptions& options)
      : problem_(problem),
        options_(options),
        mask_(workload.mask()),
        pattern_(mask_.pattern.view()),
        tile_(parse_tile(problem.tile)),
        backend_(attn::backend(problem.backend)),
        registry_(registry) {
    if (!backend_.info().unavailable.empty()) {
      throw attn::Error(attn::ErrorCode::no_device,
                        "backend " + problem.backend + ": " + backend_.info().unavailable);
    }
    data_ = &workload.data(problem, options.scope);
    describe();
  }

  Record run() {
    order();
    build();
    verify();
    time_attention();
    record_.time = now_utc();
    return std::move(record_);
  }

 private:
  void describe() {
    record_.key = key_of(problem_);
    record_.problem = problem_;
    record_.status = "ok";
    record_.mask = {mask_.name, mask_.note, pattern_.n_rows, pattern_.n_cols, pattern_.nnz()};
    record_.environment = environment();
    if (backend_.info().device_memory) {
      if (const auto gpu = find_gpu()) record_.environment.gpu = gpu->name;
    }
    auto& v = record_.verification;
    v.scope = data_->oracle.scope();
    v.rows = data_->oracle.rows();
    v.rows_total = data_->oracle.rows_total();
    v.tolerance = options_.tolerance * data_->oracle.tolerance();
  }

  /// One-off steps are repeated within the same limits as attention.
  Timing repeated(const std::function<void()>& work, double first) const {
    return repeat([&] { return stopwatch(work); }, one_off(), {first});
  }
  [[nodiscard]] Repeats one_off() const {
    // A slow ordering is not repeated for minutes: its spread is small beside its size.
    Repeats limits = options_.repeats;
    limits.maximum = std::min(limits.maximum, limits.minimum);
    limits.minimum = 1;
    return limits;
  }

  void order() {
    const auto pipeline = reorder::Pipeline::parse(problem_.pipeline, registry_);
    const reorder::Context context{
        .objective = objective_of(problem_), .seed = problem_.seed, .threads = problem_.threads};
    auto result = pipeline.run(pattern_, context);
    std::vector<reorder::Report> reports = {result.report};
    const auto again = [&] {
      reports.push_back(pipeline.run(pattern_, context).report);
      return reports.back().seconds;
    };
    times_.ordering = repeat(again, one_off(), {result.report.seconds});
    result.report = typical(reports, times_.ordering.median * 1e-3);
    record_.ordering = ordering_facts(result);
    ordering_ = std::move(result.ordering);
    before_ = reorder::count_tiles(pattern_, tile_);
    after_ = reorder::count_tiles(pattern_, ordering_, tile_);
    record_.before = tile_facts(before_);
    record_.after = tile_facts(after_);
    record_.lower_bound = reorder::tile_lower_bound(pattern_, tile_);
    record_.flops = 4.0 * problem_.head_dim * problem_.batch * problem_.heads *
                    static_cast<double>(after_.nonempty) * tile_.rows * tile_.cols;
  }

  /// The report of the run that took nearest to the median, so that the times of its stages and
  /// candidates belong to the total that is shown beside them.
  static const reorder::Report& typical(const std::vector<reorder::Report>& reports,
                                        double median) {
    const auto distance = [&](const reorder::Report& r) { return std::abs(r.seconds - median); };
    return *std::min_element(reports.begin(), reports.end(), [&](const auto& a, const auto& b) {
      return distance(a) < distance(b);
    });
  }

  /// Builds a BlockMask of `pattern` and times it.
  attn::BlockMask build_mask(const reorder::CsrView& pattern, Timing& timing) const {
    const auto make = [&] {
      return attn::BlockMask::from_csr(to_attn(pattern), tile_shape(tile_), problem_.threads);
    };
    std::optional<attn::BlockMask> built;
    const double first = stopwatch([&] { built = make(); });
    timing = repeated([&] { (void)make(); }, first);
    return *std::move(built);
  }

  std::unique_ptr<attn::Plan> prepare(const attn::BlockMask& mask,
                                      const attn::PrepareOptions& options, Timing& timing) const {
    std::unique_ptr<attn::Plan> plan;
    const double first = stopwatch([&] { plan = backend_.prepare(mask, options); });
    timing = repeated([&] { (void)backend_.prepare(mask, options); }, first);
    return plan;
  }

  void build() {
    operands_ = allocate_operands(backend_, data_->inputs);
    copy_in(backend_, data_->inputs, operands_);
    const attn::PrepareOptions plain{.threads = problem_.threads, .q_order = {}, .kv_order = {}};

    const auto natural = build_mask(pattern_, times_.build_natural);
    note_mismatch("natural", disagreement(before_, natural));
    if (const auto why = backend_.supports(operands_.args(), natural)) {
      throw attn::Error(attn::ErrorCode::unsupported, "backend " + problem_.backend + ": " + *why);
    }
    natural_plan_ = prepare(natural, plain, times_.prepare_natural);
    if (!record_.ordering.reordered) return;

    reorder::Csr permuted;
    const auto permute = [&] { permuted = reorder::permute(pattern_, ordering_); };
    const double first = stopwatch(permute);
    times_.permute = repeated(permute, first);
    const auto mask = build_mask(permuted, times_.build_permuted.emplace());
    note_mismatch("permuted", disagreement(after_, mask));
    attn::PrepareOptions orders = plain;
    orders.q_order = ordering_.rows.new_to_old();
    orders.kv_order = ordering_.cols.new_to_old();
    fused_plan_ = prepare(mask, orders, times_.prepare_permuted.emplace());
    permuted_plan_ = backend_.prepare(mask, plain);
    gathered_ = allocate_operands(backend_, data_->inputs);
    gather_inputs();
  }

  /// Q follows the row order, K and V the column order. Host tensors only.
  void gather(const attn::TensorView& q, const attn::TensorView& k, const attn::TensorView& v,
              const attn::TensorView& to_q, const attn::TensorView& to_k,
              const attn::TensorView& to_v) const {
    const auto rows = ordering_.rows.new_to_old();
    const auto cols = ordering_.cols.new_to_old();
    attn::gather_rows(q, rows, to_q, problem_.threads);
    attn::gather_rows(k, cols, to_k, problem_.threads);
    attn::gather_rows(v, cols, to_v, problem_.threads);
  }

  void gather_inputs() const {
    const Inputs& in = data_->inputs;
    const Inputs host{allocate_like(in.q), allocate_like(in.k), allocate_like(in.v)};
    gather(in.q.view, in.k.view, in.v.view, host.q.view, host.k.view, host.v.view);
    copy_in(backend_, host, gathered_);
  }

  void scatter(const attn::TensorView& o, const attn::TensorView& lse, const attn::TensorView& to_o,
               const attn::TensorView& to_lse) const {
    attn::scatter_rows(o, ordering_.rows.new_to_old(), to_o, problem_.threads);
    attn::scatter_rows(lse, ordering_.rows.new_to_old(), to_lse, problem_.threads);
  }

  void note_mismatch(const std::string& path, const std::optional<std::string>& what) {
    auto& v = record_.verification;
    if (!what || what->empty() || !v.mismatch.empty()) return;
    v.mismatch = path + ": " + *what;
    record_.status = "mismatch";
    record_.error = v.mismatch;
  }

  void compare(const std::string& path, const Outputs& outputs) {
    const auto check = data_->oracle.compare(outputs.o.view, outputs.lse.view, options_.tolerance);
    auto& v = record_.verification;
    v.max_error = std::max(v.max_error, check.max_error);
    v.max_lse_error = std::max(v.max_lse_error, check.max_lse_error);
    v.nmse = std::max(v.nmse, check.nmse);
    note_mismatch(path, check.mismatch);
  }

  void verify() {
    poison(backend_, operands_);
    natural_plan_->forward(operands_.args());
    if (options_.scope == Scope::none) return;
    compare("natural", copy_out(backend_, operands_));
    if (!record_.ordering.reordered) return;

    poison(backend_, gathered_);
    permuted_plan_->forward(gathered_.args());
    const Outputs permuted = copy_out(backend_, gathered_);
    const Outputs back{allocate_like(permuted.o), allocate_like(permuted.lse)};
    scatter(permuted.o.view, permuted.lse.view, back.o.view, back.lse.view);
    compare("permuted", back);

    poison(backend_, operands_);
    fused_plan_->forward(operands_.args());
    compare("fused", copy_out(backend_, operands_));
  }

  void time_attention() {
    std::vector<std::function<double()>> arms;
    std::vector<Timing*> results;
    const auto add = [&](Timing& result, std::function<void()> work) {
      arms.emplace_back([this, work = std::move(work)] { return backend_.time(work, 1).front(); });
      results.push_back(&result);
    };
    add(times_.natural, [this] { natural_plan_->forward(operands_.args()); });
    if (record_.ordering.reordered) {
      add(times_.permuted.emplace(), [this] { permuted_plan_->forward(gathered_.args()); });
      add(times_.fused.emplace(), [this] { fused_plan_->forward(operands_.args()); });
      if (!backend_.info().device_memory) {
        const Operands& a = operands_;
        const Operands& p = gathered_;
        add(times_.gather.emplace(),
            [this, &a, &p] { gather(a.q.view, a.k.view, a.v.view, p.q.view, p.k.view, p.v.view); });
        add(times_.scatter.emplace(),
            [this, &a, &p] { scatter(p.o.view, p.lse.view, a.o.view, a.lse.view); });
      }
    }
    const auto samples = interleave(arms, options_.repeats);
    for (std::size_t i = 0; i < results.size(); ++i) *results[i] = summarize(samples[i]);
    record_.ms = times_;
    set_break_even(record_, calls_of(samples));
  }

  /// From the arms of time_attention, in its order.
  static CallSamples calls_of(const std::vector<std::vector<double>>& arms) {
    CallSamples calls;
    calls.natural = arms[0];
    if (arms.size() > 2) calls.fused = arms[2];
    if (arms.size() > 4) {
      for (std::size_t i = 0; i < arms[0].size(); ++i) {
        calls.gathered.push_back(arms[1][i] + arms[3][i] + arms[4][i]);
      }
    }
    return calls;
  }

  const Problem& problem_;
  const MeasureOptions& options_;
  const masks::Mask& mask_;
  const reorder::CsrView pattern_;
  const reorder::Tile tile_;
  const attn::Backend& backend_;
  const reorder::Registry& registry_;
  const Workload::Data* data_ = nullptr;

  Record record_;
  Times times_;
  reorder::Ordering ordering_;
  reorder::TileCounts before_;
  reorder::TileCounts after_;
  Operands operands_;  ///< in the caller's order
  Operands gathered_;  ///< in the new order
  std::unique_ptr<attn::Plan> natural_plan_;
  std::unique_ptr<attn::Plan> permuted_plan_;
  std::unique_ptr<attn::Plan> fused_plan_;
};

}  // namespace

const Workload::Data& Workload::data(const Problem& problem, Scope scope) {
  Problem shared = problem;
  shared.pipeline = shared.backend = shared.tile = shared.objective = "";
  shared.threads = 0;
  const std::string key = key_of(shared);
  if (!data_ || key != key_) {
    data_.reset();
    Inputs inputs = make_inputs(problem, mask_.pattern);
    const float scale = 1.0F / std::sqrt(static_cast<float>(problem.head_dim));
    Oracle oracle(mask_.pattern, inputs, scale, scope, problem.seed);
    data_ = std::make_unique<Data>(Data{std::move(inputs), std::move(oracle)});
    key_ = key;
  }
  return *data_;
}

Record measure(const Problem& problem, Workload& workload, const reorder::Registry& registry,
               const MeasureOptions& options) {
  validate(problem);
  return Measurement(problem, workload, registry, options).run();
}

Record failed_record(const Problem& problem, const std::string& error) {
  Record record;
  record.key = key_of(problem);
  record.status = "failed";
  record.error = error;
  record.time = now_utc();
  record.problem = problem;
  record.environment = environment();
  return record;
}

}  // namespace experiments

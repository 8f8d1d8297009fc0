// SPDX-License-Identifier: Apache-2.0
#include "experiments/experiment.hpp"

#include <algorithm>
#include <cmath>

#include "attn/attention.hpp"
#include "attn/device_block_mask.hpp"
#include "attn/error.hpp"
#include "experiments/break_even.hpp"
#include "experiments/build_mask.hpp"
#include "experiments/device_mask.hpp"
#include "experiments/exit_code.hpp"
#include "experiments/gpu.hpp"
#include "experiments/gradient_oracle.hpp"
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
        pass_(parse_pass(problem.pass)),
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
    record_.mask_build = options_.mask_build == MaskBuild::host ? "host" : "device";
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
    const reorder::Context context = context_of(problem_);
    objective_ = context.objective;
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
    const double products = (forward() ? 2 : 0) + (backward() ? 5 : 0);
    record_.flops = 2.0 * products * problem_.head_dim * problem_.batch * problem_.heads *
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

  /// A plan from whatever mask the backend takes, and how long that took.
  template <class Mask>
  std::unique_ptr<attn::Plan> prepare(const Mask& mask, const attn::PrepareOptions& options,
                                      Timing& timing) const {
    std::unique_ptr<attn::Plan> plan;
    const double first = stopwatch([&] { plan = backend_.prepare(mask, options); });
    timing = repeated([&] { (void)backend_.prepare(mask, options); }, first);
    return plan;
  }

  /// The ordered mask in the objective's form, timed.
  MaskForm build_ordered(const reorder::CsrView& pattern, Timing& timing) const {
    const auto make = [&] {
      return build_form(pattern, objective_, tile_shape(tile_), problem_.threads);
    };
    std::optional<MaskForm> built;
    const double first = stopwatch([&] { built = make(); });
    timing = repeated([&] { (void)make(); }, first);
    return *std::move(built);
  }

  std::unique_ptr<attn::Plan> prepare(const MaskForm& form, const attn::PrepareOptions& options,
                                      Timing& timing) const {
    return std::visit([&](const auto& mask) { return prepare(mask, options, timing); }, form);
  }

  /// The same mask built by the device from CSR in its memory, where that is asked for; the time
  /// takes the place of BlockMask's.
  std::optional<attn::DeviceBlockMask> build_on_device(const reorder::CsrView& pattern,
                                                       Timing& timing) const {
    if (options_.mask_build == MaskBuild::host) return std::nullopt;
    const DevicePattern uploaded(backend_, pattern);
    std::optional<attn::DeviceBlockMask> mask(std::in_place);
    const auto make = [&] { mask->build(uploaded.view()); };
    const double first = stopwatch(make);
    timing = repeated(make, first);
    return mask;
  }

  void build() {
    operands_ = allocate_operands(backend_, data_->inputs);
    copy_in(backend_, data_->inputs, operands_);
    const attn::PrepareOptions plain{.threads = problem_.threads,
                                     .algorithm = attn::parse_algorithm(problem_.algorithm),
                                     .q_order = {},
                                     .kv_order = {},
                                     .backward = backward()};

    const auto natural = build_mask(pattern_, times_.build_natural);
    note_mismatch("natural", disagreement(before_, natural));
    auto why = backend_.supports(operands_.args(), natural);
    if (!why && backward()) why = backend_.supports(operands_.backward_args(), natural);
    if (why) {
      throw attn::Error(attn::ErrorCode::unsupported, "backend " + problem_.backend + ": " + *why);
    }
    const auto on_device = build_on_device(pattern_, times_.build_natural);
    natural_plan_ = on_device ? prepare(*on_device, plain, times_.prepare_natural)
                              : prepare(natural, plain, times_.prepare_natural);
    operands_.reserve_workspace(backend_, *natural_plan_);
    const bool reordered = record_.ordering.reordered;
    const bool other_form = form_of(objective_) != "tiles";
    if (!reordered && !other_form) return;

    reorder::Csr permuted;
    attn::PrepareOptions orders = plain;
    if (reordered) {
      const auto permute = [&] { permuted = reorder::permute(pattern_, ordering_); };
      const double first = stopwatch(permute);
      times_.permute = repeated(permute, first);
      orders.q_order = ordering_.rows.new_to_old();
      orders.kv_order = ordering_.cols.new_to_old();
    }
    const MaskForm mask =
        build_ordered(reordered ? permuted.view() : pattern_, times_.build_permuted.emplace());
    if (other_form) {
      record_.form = FormFacts{form_of(objective_), tiles_of(mask), residual_of(mask)};
      const double value = reorder::evaluate(objective_, pattern_, ordering_);
      note_mismatch("permuted", disagreement(objective_, value, mask));
      record_.flops = 4.0 * problem_.head_dim * problem_.batch * problem_.heads *
                      (static_cast<double>(record_.form->tiles) * tile_.rows * tile_.cols +
                       static_cast<double>(record_.form->residual));
    } else {
      note_mismatch("permuted", disagreement(after_, std::get<attn::BlockMask>(mask)));
    }
    Timing preparing;
    std::optional<attn::DeviceBlockMask> there;
    if (!other_form) there = build_on_device(permuted.view(), *times_.build_permuted);
    fused_plan_ = there ? prepare(*there, orders, preparing) : prepare(mask, orders, preparing);
    times_.prepare_permuted = preparing;
    operands_.reserve_workspace(backend_, *fused_plan_);
    if (!reordered) return;
    permuted_plan_ =
        there ? backend_.prepare(*there, plain)
              : std::visit([&](const auto& m) { return backend_.prepare(m, plain); }, mask);
    gathered_ = allocate_operands(backend_, data_->inputs);
    gathered_.reserve_workspace(backend_, *permuted_plan_);
    gather_inputs();
  }

  [[nodiscard]] bool forward() const { return pass_ != Pass::backward; }
  [[nodiscard]] bool backward() const { return pass_ != Pass::forward; }

  /// Rows of Q, O, LSE and their gradients stand in the row order, those of K and V in the column
  /// order. Host tensors only.
  void gather_by_rows(const Tensor& from, const Tensor& to) const {
    attn::gather_rows(from.view, ordering_.rows.new_to_old(), to.view, problem_.threads);
  }
  void gather_by_cols(const Tensor& from, const Tensor& to) const {
    attn::gather_rows(from.view, ordering_.cols.new_to_old(), to.view, problem_.threads);
  }
  void scatter_by_rows(const Tensor& from, const Tensor& to) const {
    attn::scatter_rows(from.view, ordering_.rows.new_to_old(), to.view, problem_.threads);
  }
  void scatter_by_cols(const Tensor& from, const Tensor& to) const {
    attn::scatter_rows(from.view, ordering_.cols.new_to_old(), to.view, problem_.threads);
  }

  void gather_inputs() const {
    const Inputs& in = data_->inputs;
    Inputs host{allocate_like(in.q), allocate_like(in.k), allocate_like(in.v), {}};
    gather_by_rows(in.q, host.q);
    gather_by_cols(in.k, host.k);
    gather_by_cols(in.v, host.v);
    if (backward()) {
      host.d_o = allocate_like(in.d_o);
      gather_by_rows(in.d_o, host.d_o);
    }
    copy_in(backend_, host, gathered_);
  }

  /// What a call reads, into the new order: O and LSE are there already after a forward pass.
  void gather_call(const Operands& from, const Operands& to) const {
    gather_by_rows(from.q, to.q);
    gather_by_cols(from.k, to.k);
    gather_by_cols(from.v, to.v);
    if (!backward()) return;
    gather_by_rows(from.d_o, to.d_o);
    if (forward()) return;
    gather_by_rows(from.o, to.o);
    gather_by_rows(from.lse, to.lse);
  }

  /// What a call wrote, back into the caller's order.
  void scatter_call(const Operands& from, const Operands& to) const {
    if (forward()) {
      scatter_by_rows(from.o, to.o);
      scatter_by_rows(from.lse, to.lse);
    }
    if (!backward()) return;
    scatter_by_rows(from.dq, to.dq);
    scatter_by_cols(from.dk, to.dk);
    scatter_by_cols(from.dv, to.dv);
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

  void compare(const std::string& path, const Gradients& gradients) {
    const auto check = gradient_oracle_->compare(gradients, options_.tolerance);
    auto& g = *record_.gradients;
    g.dq_error = std::max(g.dq_error, check.max_error[0]);
    g.dk_error = std::max(g.dk_error, check.max_error[1]);
    g.dv_error = std::max(g.dv_error, check.max_error[2]);
    g.nmse = std::max(g.nmse, check.nmse);
    note_mismatch(path, check.mismatch);
  }

  /// The gradients are judged for the O and LSE that the natural order gave.
  void make_gradient_oracle(const Outputs& given) {
    const float scale = 1.0F / std::sqrt(static_cast<float>(problem_.head_dim));
    gradient_oracle_.emplace(pattern_, data_->inputs, given, scale, options_.scope, problem_.seed);
    const auto& [dq, dk, dv] = gradient_oracle_->tolerance();
    record_.gradients.emplace(GradientVerification{.scope = gradient_oracle_->scope(),
                                                   .queries = gradient_oracle_->queries(),
                                                   .keys = gradient_oracle_->keys(),
                                                   .dq_tolerance = options_.tolerance * dq,
                                                   .dk_tolerance = options_.tolerance * dk,
                                                   .dv_tolerance = options_.tolerance * dv});
  }

  /// Runs the forward pass, which the backward pass needs as well, and compares what it wrote.
  void verify() {
    poison(backend_, operands_);
    natural_plan_->forward(operands_.args());
    if (options_.scope == Scope::none) {
      if (permuted_plan_ && backward()) permuted_plan_->forward(gathered_.args());
      return;
    }
    const Outputs natural = copy_out(backend_, operands_);
    compare("natural", natural);
    if (backward()) {
      make_gradient_oracle(natural);
      natural_plan_->backward(operands_.backward_args());
      compare("natural", copy_out_gradients(backend_, operands_));
    }
    if (permuted_plan_) {
      poison(backend_, gathered_);
      permuted_plan_->forward(gathered_.args());
      const Outputs permuted = copy_out(backend_, gathered_);
      const Outputs back{allocate_like(permuted.o), allocate_like(permuted.lse)};
      scatter_by_rows(permuted.o, back.o);
      scatter_by_rows(permuted.lse, back.lse);
      compare("permuted", back);
      if (backward()) {
        permuted_plan_->backward(gathered_.backward_args());
        const Gradients from = copy_out_gradients(backend_, gathered_);
        const Gradients to{allocate_like(from.dq), allocate_like(from.dk), allocate_like(from.dv)};
        scatter_by_rows(from.dq, to.dq);
        scatter_by_cols(from.dk, to.dk);
        scatter_by_cols(from.dv, to.dv);
        compare("permuted", to);
      }
    }
    if (!fused_plan_) return;
    poison(backend_, operands_);
    fused_plan_->forward(operands_.args());
    compare("fused", copy_out(backend_, operands_));
    if (backward()) {
      fused_plan_->backward(operands_.backward_args());
      compare("fused", copy_out_gradients(backend_, operands_));
    }
  }

  /// Arms of time_attention and what they took.
  class Arms {
   public:
    explicit Arms(const attn::Backend& backend) : backend_(backend) {}

    std::size_t add(std::function<void()> work) {
      arms_.emplace_back(
          [&backend = backend_, work = std::move(work)] { return backend.time(work, 1).front(); });
      return arms_.size() - 1;
    }
    void run(const Repeats& repeats) { samples_ = interleave(arms_, repeats); }

    /// Seconds of each round.
    [[nodiscard]] const std::vector<double>& operator[](std::size_t arm) const {
      return samples_[arm];
    }
    /// ... of several arms together.
    [[nodiscard]] std::vector<double> sum(const std::vector<std::size_t>& arms) const {
      std::vector<double> total(samples_.front().size(), 0.0);
      for (const std::size_t arm : arms) {
        for (std::size_t i = 0; i < total.size(); ++i) total[i] += samples_[arm][i];
      }
      return total;
    }

   private:
    const attn::Backend& backend_;
    std::vector<std::function<double()>> arms_;
    std::vector<std::vector<double>> samples_;
  };

  void time_attention() {
    Arms arms(backend_);
    const auto add_passes = [&](const attn::Plan& plan, const Operands& operands) {
      std::vector<std::size_t> passes;
      if (forward()) passes.push_back(arms.add([&] { plan.forward(operands.args()); }));
      if (backward()) passes.push_back(arms.add([&] { plan.backward(operands.backward_args()); }));
      return passes;
    };
    const auto natural = add_passes(*natural_plan_, operands_);
    std::vector<std::size_t> permuted, fused, moves;
    if (fused_plan_) fused = add_passes(*fused_plan_, operands_);
    if (permuted_plan_) {
      permuted = add_passes(*permuted_plan_, gathered_);
      if (!backend_.info().device_memory) {
        moves.push_back(arms.add([&] { gather_call(operands_, gathered_); }));
        moves.push_back(arms.add([&] { scatter_call(gathered_, operands_); }));
      }
    }
    arms.run(options_.repeats);

    const auto passes = [&](const std::vector<std::size_t>& of) -> std::optional<PassTimes> {
      if (of.size() < 2) return std::nullopt;
      return PassTimes{summarize(arms[of[0]]), summarize(arms[of[1]])};
    };
    CallSamples calls;
    calls.natural = arms.sum(natural);
    times_.natural = summarize(calls.natural);
    times_.natural_passes = passes(natural);
    if (!permuted.empty()) {
      times_.permuted = summarize(arms.sum(permuted));
      times_.permuted_passes = passes(permuted);
    }
    if (!fused.empty()) {
      calls.fused = arms.sum(fused);
      times_.fused = summarize(calls.fused);
      times_.fused_passes = passes(fused);
    }
    if (!moves.empty()) {
      times_.gather = summarize(arms[moves[0]]);
      times_.scatter = summarize(arms[moves[1]]);
      std::vector<std::size_t> all = permuted;
      all.insert(all.end(), moves.begin(), moves.end());
      calls.gathered = arms.sum(all);
    }
    record_.ms = times_;
    set_break_even(record_, calls);
  }

  const Problem& problem_;
  const MeasureOptions& options_;
  const masks::Mask& mask_;
  const reorder::CsrView pattern_;
  const reorder::Tile tile_;
  const Pass pass_;
  reorder::Objective objective_;
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
  std::optional<GradientOracle> gradient_oracle_;
  std::unique_ptr<attn::Plan> natural_plan_;
  std::unique_ptr<attn::Plan> permuted_plan_;
  std::unique_ptr<attn::Plan> fused_plan_;
};

}  // namespace

const Workload::Data& Workload::data(const Problem& problem, Scope scope) {
  Problem shared = problem;
  shared.pipeline = shared.backend = shared.algorithm = shared.tile = "";
  shared.objective = shared.cost_model = shared.budget = "";
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

void validate(const Problem& problem, MaskBuild mask_build) {
  validate(problem);
  if (mask_build == MaskBuild::device && !attn::backend(problem.backend).info().device_memory) {
    throw UsageError("backend " + problem.backend +
                     " computes on the host: a mask is built on a device only for a backend that "
                     "computes there, such as hopper");
  }
  if (mask_build == MaskBuild::device && form_of(objective_of(problem)) != "tiles") {
    throw UsageError("a mask is built on a device for objectives that count tiles alone, not for " +
                     problem.objective);
  }
}

Record measure(const Problem& problem, Workload& workload, const reorder::Registry& registry,
               const MeasureOptions& options) {
  validate(problem, options.mask_build);
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

// SPDX-License-Identifier: Apache-2.0
#include "experiments/experiment.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "attn/attention.hpp"
#include "attn/device_block_mask.hpp"
#include "attn/error.hpp"
#include "experiments/break_even.hpp"
#include "experiments/build_mask.hpp"
#include "experiments/call_cost.hpp"
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
        workload_(workload),
        tile_(parse_tile(problem.tile)),
        pass_(parse_pass(problem.pass)),
        backend_(attn::backend(problem.backend)),
        registry_(registry) {
    if (!backend_.info().unavailable.empty()) {
      throw attn::Error(attn::ErrorCode::no_device,
                        "backend " + problem.backend + ": " + backend_.info().unavailable);
    }
    oracle_ = &workload.oracle(problem, options.scope);
    tensors_ = &workload.tensors(problem, backend_);
    operands().scale = scale_of(problem);
    operands().deterministic = parse_gradients(problem.gradients).deterministic;
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
    v.scope = oracle_->scope();
    v.rows = oracle_->rows();
    v.rows_total = oracle_->rows_total();
    v.tolerance = options_.tolerance * oracle_->tolerance();
  }

  void order() {
    objective_ = objective_of(problem_);
    const auto& ordered = workload_.ordered(problem_, registry_, options_.repeats);
    ordering_ = &ordered.ordering;
    record_.ordering = ordered.facts;
    times_.ordering = ordered.ms;
    natural_ = &workload_.natural(problem_, options_.repeats);
    const bool reordered = ordered.facts.reordered;
    after_ = reordered ? reorder::count_tiles(pattern_, *ordering_, tile_) : natural_->counts;
    record_.before = tile_facts(natural_->counts);
    record_.after = tile_facts(after_);
    record_.lower_bound = natural_->lower_bound;
    const attn::Walk walk = backend_.walk(tile_shape(tile_), problem_.head_dim);
    const WalkCounts& as_it_came = workload_.natural_walk(walk);
    record_.walk =
        WalkFacts{.part = attn::to_string(walk.part),
                  .step = attn::to_string(walk.step),
                  .before = as_it_came,
                  .after = reordered ? count_walk(pattern_, *ordering_, walk) : as_it_came};
    const double products = (forward() ? 2 : 0) + (backward() ? 5 : 0);
    record_.flops = 2.0 * products * problem_.head_dim * problem_.batch * problem_.heads *
                    static_cast<double>(after_.nonempty) * tile_.rows * tile_.cols;
  }

  /// A plan from whatever mask the backend takes, and how long that took.
  template <class Mask>
  std::unique_ptr<attn::Plan> prepare(const Mask& mask, const attn::PrepareOptions& options,
                                      Timing& timing) const {
    auto made = timed_once(options_.repeats, [&] { return backend_.prepare(mask, options); });
    timing = made.ms;
    return std::move(made.value);
  }

  /// The ordered mask in the objective's form, timed.
  MaskForm build_ordered(const reorder::CsrView& pattern, Timing& timing) const {
    auto built = timed_once(options_.repeats, [&] {
      return build_form(pattern, objective_, tile_shape(tile_), problem_.threads);
    });
    timing = built.ms;
    return std::move(built.value);
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
    const auto make = [&] { return stopwatch([&] { mask->build(uploaded.view()); }); };
    timing = repeat(make, one_off(options_.repeats), {make()});
    return mask;
  }

  void build() {
    const attn::PrepareOptions plain{.threads = problem_.threads,
                                     .algorithm = attn::parse_algorithm(problem_.algorithm),
                                     .q_order = {},
                                     .kv_order = {},
                                     .backward = backward(),
                                     .kernel_tile = kernel_tile(),
                                     .backward_passes = parse_gradients(problem_.gradients).passes};

    const attn::BlockMask& natural = natural_->mask;
    times_.build_natural = natural_->build;
    note_mismatch("natural", disagreement(natural_->counts, natural));
    auto why = backend_.supports(operands().args(), natural);
    if (!why && backward()) why = backend_.supports(operands().backward_args(), natural);
    if (why) {
      throw attn::Error(attn::ErrorCode::unsupported, "backend " + problem_.backend + ": " + *why);
    }
    const auto on_device = build_on_device(pattern_, times_.build_natural);
    natural_plan_ = on_device ? prepare(*on_device, plain, times_.prepare_natural)
                              : prepare(natural, plain, times_.prepare_natural);
    operands().reserve_workspace(backend_, *natural_plan_);
    const bool reordered = record_.ordering.reordered;
    const bool other_form = form_of(objective_) != "tiles";
    if (!reordered && !other_form) return;

    reorder::Csr permuted;
    attn::PrepareOptions orders = plain;
    if (reordered) {
      auto made =
          timed_once(options_.repeats, [&] { return reorder::permute(pattern_, *ordering_); });
      times_.permute = made.ms;
      permuted = std::move(made.value);
      orders.q_order = ordering_->rows.new_to_old();
      orders.kv_order = ordering_->cols.new_to_old();
    }
    const MaskForm mask =
        build_ordered(reordered ? permuted.view() : pattern_, times_.build_permuted.emplace());
    if (other_form) {
      record_.form = FormFacts{form_of(objective_), tiles_of(mask), residual_of(mask)};
      const double value = reorder::evaluate(objective_, pattern_, *ordering_);
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
    operands().reserve_workspace(backend_, *fused_plan_);
    if (!reordered) return;
    permuted_plan_ =
        there ? backend_.prepare(*there, plain)
              : std::visit([&](const auto& m) { return backend_.prepare(m, plain); }, mask);
    tensors_->reserve_ordered(backend_);
    ordered().scale = operands().scale;
    ordered().deterministic = operands().deterministic;
    ordered().reserve_workspace(backend_, *permuted_plan_);
    gather_inputs();
  }

  [[nodiscard]] bool forward() const { return pass_ != Pass::backward; }
  [[nodiscard]] bool backward() const { return pass_ != Pass::forward; }
  [[nodiscard]] std::optional<attn::TileShape> kernel_tile() const {
    if (problem_.kernel_tile.empty()) return std::nullopt;
    return tile_shape(parse_tile(problem_.kernel_tile));
  }
  [[nodiscard]] Operands& operands() const { return tensors_->operands; }
  [[nodiscard]] Operands& ordered() const { return tensors_->ordered; }

  /// Rows of Q, O, LSE and their gradients stand in the row order, those of K and V in the column
  /// order. Host tensors only.
  void gather_by_rows(const Tensor& from, const Tensor& to) const {
    attn::gather_rows(from.view, ordering_->rows.new_to_old(), to.view, problem_.threads);
  }
  void gather_by_cols(const Tensor& from, const Tensor& to) const {
    attn::gather_rows(from.view, ordering_->cols.new_to_old(), to.view, problem_.threads);
  }
  void scatter_by_rows(const Tensor& from, const Tensor& to) const {
    attn::scatter_rows(from.view, ordering_->rows.new_to_old(), to.view, problem_.threads);
  }
  void scatter_by_cols(const Tensor& from, const Tensor& to) const {
    attn::scatter_rows(from.view, ordering_->cols.new_to_old(), to.view, problem_.threads);
  }

  void gather_inputs() const {
    const auto& [in, host] = std::tie(tensors_->inputs, tensors_->gathered);
    gather_by_rows(in.q, host.q);
    gather_by_cols(in.k, host.k);
    gather_by_cols(in.v, host.v);
    if (backward()) gather_by_rows(in.d_o, host.d_o);
    copy_in(backend_, host, ordered());
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

  /// Where queries and keys stand in results that are in the new order; empty for the caller's.
  struct Places {
    std::vector<std::int32_t> queries, keys;
  };

  /// Fetches O and LSE and compares them.
  void compare_outputs(const std::string& path, const Operands& results, const Places& places) {
    const Outputs& outputs = tensors_->outputs;
    copy_out(backend_, results, outputs);
    const auto check =
        oracle_->compare(outputs.o.view, outputs.lse.view, options_.tolerance, places.queries);
    auto& v = record_.verification;
    v.max_error = std::max(v.max_error, check.max_error);
    v.max_lse_error = std::max(v.max_lse_error, check.max_lse_error);
    v.nmse = std::max(v.nmse, check.nmse);
    note_mismatch(path, check.mismatch);
  }

  void compare_gradients(const std::string& path, const Operands& results, const Places& places) {
    copy_out(backend_, results, tensors_->gradients);
    const auto compare = [&](const GradientOracle& oracle) {
      return oracle.compare(tensors_->gradients, options_.tolerance, places.queries, places.keys);
    };
    auto check = compare(*gradient_oracle_);
    // In another order O may be rounded otherwise, and where a weight is near 1 the slopes follow
    // its last bit: what the natural O denies is judged by the O that the pass was given.
    if (!check.mismatch.empty()) check = compare(gradient_oracle(places));
    auto& g = *record_.gradients;
    g.dq_error = std::max(g.dq_error, check.max_error[0]);
    g.dk_error = std::max(g.dk_error, check.max_error[1]);
    g.dv_error = std::max(g.dv_error, check.max_error[2]);
    g.nmse = std::max(g.nmse, check.nmse);
    note_mismatch(path, check.mismatch);
  }

  /// For the O and LSE that were fetched last.
  [[nodiscard]] GradientOracle gradient_oracle(const Places& places) const {
    return {pattern_,           workload_.transposed(), tensors_->inputs, tensors_->outputs,
            scale_of(problem_), options_.scope,         problem_.seed,    places.queries};
  }

  void make_gradient_oracle() {
    gradient_oracle_.emplace(gradient_oracle({}));
    const auto& [dq, dk, dv] = gradient_oracle_->tolerance();
    record_.gradients.emplace(GradientVerification{.scope = gradient_oracle_->scope(),
                                                   .queries = gradient_oracle_->queries(),
                                                   .keys = gradient_oracle_->keys(),
                                                   .dq_tolerance = options_.tolerance * dq,
                                                   .dk_tolerance = options_.tolerance * dk,
                                                   .dv_tolerance = options_.tolerance * dv});
  }

  /// Runs the passes of one plan on poisoned tensors and compares what they wrote.
  void verify(const std::string& path, const attn::Plan& plan, const Operands& on,
              const Places& places = {}) {
    poison(backend_, on);
    plan.forward(on.args());
    compare_outputs(path, on, places);
    if (!backward()) return;
    if (!gradient_oracle_) make_gradient_oracle();
    plan.backward(on.backward_args());
    compare_gradients(path, on, places);
  }

  void verify() {
    if (options_.scope == Scope::none) {
      // The backward pass needs O and LSE.
      if (!backward()) return;
      natural_plan_->forward(operands().args());
      if (permuted_plan_) permuted_plan_->forward(ordered().args());
      return;
    }
    verify("natural", *natural_plan_, operands());
    if (permuted_plan_) {
      const auto place = [](const reorder::Permutation& order) {
        const auto old_to_new = order.inverse();
        const auto span = old_to_new.new_to_old();
        return std::vector<std::int32_t>(span.begin(), span.end());
      };
      verify("permuted", *permuted_plan_, ordered(),
             {place(ordering_->rows), place(ordering_->cols)});
    }
    if (fused_plan_) verify("fused", *fused_plan_, operands());
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
    const auto natural = add_passes(*natural_plan_, operands());
    std::vector<std::size_t> permuted, fused, moves;
    if (fused_plan_) fused = add_passes(*fused_plan_, operands());
    if (permuted_plan_) {
      permuted = add_passes(*permuted_plan_, ordered());
      if (!backend_.info().device_memory) {
        moves.push_back(arms.add([&] { gather_call(operands(), ordered()); }));
        moves.push_back(arms.add([&] { scatter_call(ordered(), operands()); }));
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
  Workload& workload_;
  const reorder::Tile tile_;
  const Pass pass_;
  reorder::Objective objective_;
  const attn::Backend& backend_;
  const reorder::Registry& registry_;
  const Oracle* oracle_ = nullptr;
  TensorSet* tensors_ = nullptr;

  Record record_;
  Times times_;
  const reorder::Ordering* ordering_ = nullptr;
  const Workload::Natural* natural_ = nullptr;
  reorder::TileCounts after_;
  std::optional<GradientOracle> gradient_oracle_;
  std::unique_ptr<attn::Plan> natural_plan_;
  std::unique_ptr<attn::Plan> permuted_plan_;
  std::unique_ptr<attn::Plan> fused_plan_;
};

}  // namespace

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

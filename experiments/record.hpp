// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiments/environment.hpp"
#include "experiments/fields.hpp"
#include "experiments/input_files.hpp"
#include "experiments/problem.hpp"
#include "experiments/timing.hpp"
#include "reorder/objective.hpp"
#include "reorder/pipeline.hpp"

namespace experiments {

// What is written for each measurement. docs/records.md explains every field.

/// Raised when a field changes its meaning or goes; new fields do not raise it.
inline constexpr int kSchemaVersion = 1;

struct MaskFacts {
  std::string name;  ///< canonical text
  std::string note;
  std::int64_t n_q = 0;
  std::int64_t n_k = 0;
  std::int64_t nnz = 0;
};

template <class T, class Visit>
requires Is<T, MaskFacts>
void fields(T& m, Visit&& visit) {
  visit("name", m.name);
  visit("note", m.note);
  visit("n_q", m.n_q);
  visit("n_k", m.n_k);
  visit("nnz", m.nnz);
}

/// Tiles of one ordered mask, for one batch element and head.
struct TileFacts {
  std::int64_t row_tiles = 0;
  std::int64_t nonempty = 0;
  std::int64_t full = 0;
  std::int64_t partial = 0;
  double fill = 0;
  double imbalance = 0;
};

template <class T, class Visit>
requires Is<T, TileFacts>
void fields(T& t, Visit&& visit) {
  visit("row_tiles", t.row_tiles);
  visit("nonempty", t.nonempty);
  visit("full", t.full);
  visit("partial", t.partial);
  visit("fill", t.fill);
  visit("imbalance", t.imbalance);
}
[[nodiscard]] TileFacts tile_facts(const reorder::TileCounts& counts);

/// What one batch element and head goes through (attn::Walk).
struct WalkCounts {
  std::int64_t full = 0;  ///< parts that are allowed in full, and the others that are not empty
  std::int64_t partial = 0;
  std::int64_t steps = 0;
  std::int64_t rows = 0;  ///< rows of steps
  /// Of the row of most steps.
  std::int64_t heaviest_full = 0;
  std::int64_t heaviest_partial = 0;
  std::int64_t heaviest_steps = 0;
};

template <class T, class Visit>
requires Is<T, WalkCounts>
void fields(T& w, Visit&& visit) {
  visit("full", w.full);
  visit("partial", w.partial);
  visit("steps", w.steps);
  visit("rows", w.rows);
  visit("heaviest_full", w.heaviest_full);
  visit("heaviest_partial", w.heaviest_partial);
  visit("heaviest_steps", w.heaviest_steps);
}

struct WalkFacts {
  std::string part;  ///< "64x64"
  std::string step;  ///< "192x128"
  WalkCounts before;
  WalkCounts after;
};

template <class T, class Visit>
requires Is<T, WalkFacts>
void fields(T& w, Visit&& visit) {
  visit("part", w.part);
  visit("step", w.step);
  visit("before", w.before);
  visit("after", w.after);
}

struct StageFacts {
  std::string stage;
  double ms = 0;
  std::optional<std::int64_t> nonempty;
};

template <class T, class Visit>
requires Is<T, StageFacts>
void fields(T& s, Visit&& visit) {
  visit("stage", s.stage);
  visit("ms", s.ms);
  visit("nonempty", s.nonempty);
}

struct CandidateFacts {
  std::string pipeline;
  double ms = 0;
  double objective = 0;
  std::string error;
  bool chosen = false;
  std::int64_t work = 0;
};

template <class T, class Visit>
requires Is<T, CandidateFacts>
void fields(T& c, Visit&& visit) {
  visit("pipeline", c.pipeline);
  visit("ms", c.ms);
  visit("objective", c.objective);
  visit("error", c.error);
  visit("chosen", c.chosen);
  visit("work", c.work);
}

template <class T, class Visit>
requires Is<T, reorder::DegreeSpread>
void fields(T& d, Visit&& visit) {
  visit("empty", d.empty);
  visit("median", d.median);
  visit("max", d.max);
  visit("hubs", d.hubs);
}

template <class T, class Visit>
requires Is<T, reorder::MaskFeatures>
void fields(T& f, Visit&& visit) {
  visit("components", f.components);
  visit("symmetric", f.symmetric);
  visit("mirrored", f.mirrored);
  visit("likeness", f.likeness);
  visit("causal", f.causal);
  visit("band", f.band);
  visit("rows", f.rows);
  visit("cols", f.cols);
}

/// How a pipeline that chooses within a budget came to its answer.
struct ChoiceFacts {
  std::int64_t work_limit = 0;  ///< `--budget work:N` with it gives the same answer
  std::int64_t work = 0;
  bool budget_cut = false;  ///< the wall-clock guard fired: another run may differ
  std::string reason;
  reorder::MaskFeatures features;
};

template <class T, class Visit>
requires Is<T, ChoiceFacts>
void fields(T& c, Visit&& visit) {
  visit("work_limit", c.work_limit);
  visit("work", c.work);
  visit("budget_cut", c.budget_cut);
  visit("reason", c.reason);
  visit("features", c.features);
}

struct OrderingFacts {
  std::string pipeline;  ///< canonical text
  std::string objective;
  bool symmetric = false;
  bool reordered = false;  ///< false: the result is the natural order, nothing is gathered
  std::vector<StageFacts> stages;
  std::vector<CandidateFacts> candidates;
  std::optional<ChoiceFacts> choice;
};

template <class T, class Visit>
requires Is<T, OrderingFacts>
void fields(T& o, Visit&& visit) {
  visit("pipeline", o.pipeline);
  visit("objective", o.objective);
  visit("symmetric", o.symmetric);
  visit("reordered", o.reordered);
  visit("stages", o.stages);
  visit("candidates", o.candidates);
  visit("choice", o.choice);
}
[[nodiscard]] OrderingFacts ordering_facts(const reorder::Pipeline::Result& result);

/// The two parts of a call that runs both passes.
struct PassTimes {
  Timing forward;
  Timing backward;
};

template <class T, class Visit>
requires Is<T, PassTimes>
void fields(T& p, Visit&& visit) {
  visit("forward", p.forward);
  visit("backward", p.backward);
}

/// One-off and per-call times. What a run does not do is absent.
struct Times {
  Timing ordering;
  std::optional<Timing> permute;  ///< the CSR mask into the new order
  Timing build_natural;           ///< BlockMask or DeviceBlockMask from CSR
  std::optional<Timing> build_permuted;
  Timing prepare_natural;  ///< Backend::prepare
  std::optional<Timing> prepare_permuted;
  Timing natural;                           ///< the passes asked for, in the caller's order
  std::optional<Timing> gather;             ///< what they read into the new order
  std::optional<Timing> permuted;           ///< the passes on gathered tensors
  std::optional<Timing> scatter;            ///< what they wrote back
  std::optional<Timing> fused;              ///< the passes reading and writing through the orders
  std::optional<PassTimes> natural_passes;  ///< of pass=both, whose sums stand above
  std::optional<PassTimes> permuted_passes;
  std::optional<PassTimes> fused_passes;
};

template <class T, class Visit>
requires Is<T, Times>
void fields(T& t, Visit&& visit) {
  visit("ordering", t.ordering);
  visit("permute", t.permute);
  visit("build_natural", t.build_natural);
  visit("build_permuted", t.build_permuted);
  visit("prepare_natural", t.prepare_natural);
  visit("prepare_permuted", t.prepare_permuted);
  visit("natural", t.natural);
  visit("gather", t.gather);
  visit("permuted", t.permuted);
  visit("scatter", t.scatter);
  visit("fused", t.fused);
  visit("natural_passes", t.natural_passes);
  visit("permuted_passes", t.permuted_passes);
  visit("fused_passes", t.fused_passes);
}

/// How the result was compared with fp64.
struct Verification {
  std::string scope;      ///< "whole", "sample" or "none"
  std::int64_t rows = 0;  ///< (batch, head, query) rows compared, of rows_total
  std::int64_t rows_total = 0;
  double max_error = 0;  ///< largest |O − oracle| over natural, permuted and fused
  double tolerance = 0;  ///< allowed: 2 × error of a plain computation in this dtype + atol
  double max_lse_error = 0;
  double nmse = 0;
  std::string mismatch;  ///< the first failure in words, or ""
};

template <class T, class Visit>
requires Is<T, Verification>
void fields(T& v, Visit&& visit) {
  visit("scope", v.scope);
  visit("rows", v.rows);
  visit("rows_total", v.rows_total);
  visit("max_error", v.max_error);
  visit("tolerance", v.tolerance);
  visit("max_lse_error", v.max_lse_error);
  visit("nmse", v.nmse);
  visit("mismatch", v.mismatch);
}

/// How the gradients were compared with fp64.
struct GradientVerification {
  std::string scope;         ///< "whole" or "sample"
  std::int64_t queries = 0;  ///< (batch, head, query) rows of dQ compared
  std::int64_t keys = 0;     ///< (batch, key head, key) rows of dK and of dV compared
  double dq_error = 0;       ///< largest differences over natural, permuted and fused
  double dk_error = 0;
  double dv_error = 0;
  double dq_tolerance = 0;
  double dk_tolerance = 0;
  double dv_tolerance = 0;
  double nmse = 0;  ///< the largest of the three
};

template <class T, class Visit>
requires Is<T, GradientVerification>
void fields(T& g, Visit&& visit) {
  visit("scope", g.scope);
  visit("queries", g.queries);
  visit("keys", g.keys);
  visit("dq_error", g.dq_error);
  visit("dk_error", g.dk_error);
  visit("dv_error", g.dv_error);
  visit("dq_tolerance", g.dq_tolerance);
  visit("dk_tolerance", g.dk_tolerance);
  visit("dv_tolerance", g.dv_tolerance);
  visit("nmse", g.nmse);
}

/// Another form of the ordered mask than tiles of neighbouring keys, and what a call visits.
struct FormFacts {
  std::string name;           ///< "split" or "gathered"
  std::int64_t tiles = 0;     ///< dense tiles, or tiles of gathered keys
  std::int64_t residual = 0;  ///< pairs outside of tiles
};

template <class T, class Visit>
requires Is<T, FormFacts>
void fields(T& f, Visit&& visit) {
  visit("name", f.name);
  visit("tiles", f.tiles);
  visit("residual", f.residual);
}

struct Record {
  int schema_version = kSchemaVersion;
  std::string key;     ///< key_of(problem)
  std::string status;  ///< "ok", "mismatch" or "failed"
  std::string error;   ///< why it failed or what did not match, or ""
  std::string label;   ///< a name for tables, or ""
  std::string time;    ///< UTC at the end
  Problem problem;
  std::vector<InputFile> inputs;  ///< the files that the problem names, as they were
  MaskFacts mask;
  OrderingFacts ordering;
  std::int64_t lower_bound = 0;
  TileFacts before;
  TileFacts after;
  std::optional<WalkFacts> walk;    ///< absent in older records
  std::optional<FormFacts> form;    ///< absent for tiles
  std::string mask_build = "host";  ///< or "device": who made the mask's lists and bits
  std::optional<Times> ms;
  double flops = 0;       ///< per visited element of the reordered mask, over batch and heads: 4·D
                          ///< forward, 10·D backward
  std::string best_path;  ///< "natural", "gathered" or "fused": the fastest way to run this order
  std::optional<double> permuted_call_ms;        ///< a call that way, gathers included
  std::optional<Timing> saved_ms;                ///< natural − such a call, round by round
  std::optional<std::int64_t> break_even_calls;  ///< absent: never, or nothing was reordered
  Verification verification;
  std::optional<GradientVerification> gradients;  ///< of a backward pass that was verified
  Environment environment;
};

template <class T, class Visit>
requires Is<T, Record>
void fields(T& r, Visit&& visit) {
  visit("schema_version", r.schema_version);
  visit("key", r.key);
  visit("status", r.status);
  visit("error", r.error);
  visit("label", r.label);
  visit("time", r.time);
  visit("problem", r.problem);
  visit("inputs", r.inputs);
  visit("mask", r.mask);
  visit("ordering", r.ordering);
  visit("lower_bound", r.lower_bound);
  visit("before", r.before);
  visit("after", r.after);
  visit("walk", r.walk);
  visit("form", r.form);
  visit("mask_build", r.mask_build);
  visit("ms", r.ms);
  visit("flops", r.flops);
  visit("best_path", r.best_path);
  visit("permuted_call_ms", r.permuted_call_ms);
  visit("saved_ms", r.saved_ms);
  visit("break_even_calls", r.break_even_calls);
  visit("verification", r.verification);
  visit("gradients", r.gradients);
  visit("environment", r.environment);
}

/// One line of a results file, and back. `from_json` throws reorder::Error{bad_file}, `where`
/// in front, for anything that is not a record of a schema version up to kSchemaVersion.
[[nodiscard]] Json to_json(const Record& record);
[[nodiscard]] Record from_json(const Json& json, const std::string& where);

/// The flat form: nested fields become columns such as "before.nonempty"; lists are left out.
[[nodiscard]] std::vector<std::string> csv_header();
[[nodiscard]] std::vector<std::string> csv_row(const Record& record);

}  // namespace experiments

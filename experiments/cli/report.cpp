// SPDX-License-Identifier: Apache-2.0
#include "experiments/cli/report.hpp"

#include "experiments/text.hpp"

namespace experiments {
namespace {

std::string milliseconds(const Timing& t) {
  std::string text = three_digits(t.median) + " ms";
  if (t.samples > 1) {
    text += "  [" + three_digits(t.q1) + ", " + three_digits(t.q3) + "], " +
            std::to_string(t.samples) + " samples";
  }
  return text;
}

std::string percent(double share) {
  return fixed(100 * share, share < 0.0995 ? 1 : 0) + "%";
}

std::string change(std::int64_t before, std::int64_t after) {
  return grouped(before) + " → " + grouped(after);
}

std::string tiles_text(const Record& r) {
  const TileFacts& a = r.before;
  const TileFacts& b = r.after;
  return labelled("tiles", change(a.nonempty, b.nonempty) + " of " + r.problem.tile +
                               ", no order has fewer than " + grouped(r.lower_bound)) +
         labelled("", "full " + change(a.full, b.full) + ", partial " +
                          change(a.partial, b.partial) + ", fill " + percent(a.fill) + " → " +
                          percent(b.fill) + ", imbalance " + fixed(a.imbalance, 2) + " → " +
                          fixed(b.imbalance, 2)) +
         (r.form ? labelled("form", r.form->name + ", " + grouped(r.form->tiles) + " tiles" +
                                        (r.form->residual > 0
                                             ? " and " + grouped(r.form->residual) + " single pairs"
                                             : ""))
                 : "");
}

std::string verification_text(const Verification& v) {
  if (v.scope == "none") return labelled("verified", "no");
  if (!v.mismatch.empty()) return labelled("WRONG", v.mismatch);
  return labelled("verified",
                  (v.scope == "whole" ? "the whole result, " : "a sample, ") + grouped(v.rows) +
                      (v.scope == "whole" ? "" : " of " + grouped(v.rows_total)) +
                      " rows: max error " + scientific(v.max_error) + " (allowed " +
                      scientific(v.tolerance) + "), LSE " + scientific(v.max_lse_error));
}

std::string gradients_text(const std::optional<GradientVerification>& g) {
  if (!g) return "";
  const auto error = [](const char* name, double found, double allowed) {
    return std::string(name) + " " + scientific(found) + " (" + scientific(allowed) + ")";
  };
  return labelled("", (g->scope == "whole" ? "all gradients, " : "a sample of the gradients, ") +
                          grouped(g->queries) + " queries and " + grouped(g->keys) +
                          " keys: max error (allowed) of " +
                          error("dQ", g->dq_error, g->dq_tolerance) + ", " +
                          error("dK", g->dk_error, g->dk_tolerance) + ", " +
                          error("dV", g->dv_error, g->dv_tolerance));
}

std::string passes_text(const std::string& pass) {
  return pass == "fwd" ? "forward" : pass == "bwd" ? "backward" : "forward and backward";
}

std::string times_text(const Record& r) {
  const Times& t = *r.ms;
  const auto line = [](const char* label, const std::optional<Timing>& timing) {
    return timing ? labelled(label, milliseconds(*timing)) : std::string();
  };
  std::string text =
      "\nonce\n" + line("ordering", t.ordering) + line("permute mask", t.permute) +
      line(r.mask_build == "device" ? "device mask" : "build mask", t.build_natural) +
      line("  permuted", t.build_permuted) + line("prepare", t.prepare_natural) +
      line("  permuted", t.prepare_permuted);
  const auto passes = [&](const std::optional<PassTimes>& p) {
    return p ? line("  forward", p->forward) + line("  backward", p->backward) : std::string();
  };
  text += "\neach call\n" + line("natural order", t.natural) + passes(t.natural_passes) +
          line("fused order", t.fused) + passes(t.fused_passes) + line("gathered", t.permuted) +
          passes(t.permuted_passes) + line("  gather", t.gather) + line("  scatter", t.scatter);
  const double call = r.permuted_call_ms.value_or(t.natural.median);
  text +=
      labelled("rate", fixed(r.flops / call * 1e-6, 1) + " GFLOP/s over the padded tiles visited");
  return text;
}

std::string break_even_text(const Record& r) {
  if (!r.ordering.reordered && !r.form) return "";
  std::string text = three_digits(r.ms->natural.median) + " → " +
                     three_digits(r.permuted_call_ms.value_or(0)) + " ms a call (" + r.best_path +
                     ")";
  if (!r.break_even_calls)
    return labelled("break-even", "never: " + text + " saves nothing for sure");
  return labelled("break-even", "after " + grouped(*r.break_even_calls) +
                                    (*r.break_even_calls == 1 ? " call, " : " calls, ") + text);
}

}  // namespace

std::string labelled(const std::string& label, const std::string& text) {
  constexpr std::size_t kWidth = 14;
  const std::size_t width = display_width(label);
  return "  " + label + std::string(width < kWidth ? kWidth - width : 1, ' ') + text + '\n';
}

std::string describe(const masks::Mask& mask) {
  const auto& p = mask.pattern;
  const double area = static_cast<double>(p.n_rows()) * p.n_cols();
  const double share = area > 0 ? static_cast<double>(p.nnz()) / area : 0;
  std::string text = mask.name + "\n" +
                     labelled("size", grouped(p.n_rows()) + " queries, " + grouped(p.n_cols()) +
                                          " keys, " + grouped(p.nnz()) + " allowed pairs (" +
                                          three_digits(100 * share) + "%)");
  if (!mask.note.empty()) text += labelled("note", mask.note);
  return text;
}

namespace {

std::string choice_text(const ChoiceFacts& choice) {
  std::string text = labelled("  mask", reorder::describe(choice.features));
  text += labelled("  because", choice.reason);
  text += labelled("  budget", grouped(choice.work) +
                                   " of work:" + std::to_string(choice.work_limit) + " spent" +
                                   (choice.budget_cut ? "; CUT by the wall-clock guard, another "
                                                        "run may differ"
                                                      : ""));
  return text;
}

}  // namespace

std::string describe(const OrderingFacts& ordering, double seconds) {
  std::string text =
      labelled("ordering", ordering.pipeline + ", " + three_digits(1e3 * seconds) + " ms, " +
                               (!ordering.reordered  ? "leaves the natural order"
                                : ordering.symmetric ? "one order for queries and keys"
                                                     : "queries and keys apart"));
  if (ordering.stages.size() > 1) {
    for (const auto& s : ordering.stages) {
      text +=
          labelled("  " + s.stage, three_digits(s.ms) + " ms" +
                                       (s.nonempty ? ", " + grouped(*s.nonempty) + " tiles" : ""));
    }
  }
  for (const auto& c : ordering.candidates) {
    text += labelled(
        c.chosen ? "* " + c.pipeline : "  " + c.pipeline,
        c.error.empty()
            ? three_digits(c.ms) + " ms, " +
                  (c.objective >= 1e6 ? scientific(c.objective, 3) : three_digits(c.objective)) +
                  " by " + ordering.objective +
                  (c.work > 0 ? ", work " + scientific(static_cast<double>(c.work)) : "")
            : c.error);
  }
  if (ordering.choice) text += choice_text(*ordering.choice);
  return text;
}

std::string describe(const Record& r) {
  const Problem& p = r.problem;
  std::string text = labelled(
      "attention", passes_text(p.pass) + " on " + p.backend + ", " + p.dtype +
                       ", B=" + std::to_string(p.batch) + ", heads=" + std::to_string(p.heads) +
                       (p.kv_heads != p.heads ? "/" + std::to_string(p.kv_heads) : "") +
                       ", D=" + std::to_string(p.head_dim) + ", " + std::to_string(p.threads) +
                       (p.threads == 1 ? " thread" : " threads"));
  text += describe(r.ordering, r.ms ? r.ms->ordering.median * 1e-3 : 0);
  text += tiles_text(r) + verification_text(r.verification) + gradients_text(r.gradients);
  if (r.ms) text += times_text(r) + "\n" + break_even_text(r);
  return text;
}

}  // namespace experiments

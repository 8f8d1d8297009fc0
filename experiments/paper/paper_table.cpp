// SPDX-License-Identifier: Apache-2.0
#include "experiments/paper/paper_table.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "experiments/exit_code.hpp"
#include "experiments/paper/figures.hpp"
#include "experiments/text.hpp"

namespace experiments::paper {
namespace {

/// Times are comparable only within one setting.
struct Setting {
  std::string backend, device, dtype, pass;
  int batch, heads, head_dim;

  auto operator<=>(const Setting&) const = default;
};

Setting setting_of(const Record& r) {
  const Problem& p = r.problem;
  // cuDNN's times belong to the tables of the device that they were measured on.
  const std::string backend = p.backend == "cudnn" ? "hopper" : p.backend;
  return {backend,   r.environment.gpu.empty() ? r.environment.cpu : r.environment.gpu,
          p.dtype,   p.pass,
          p.batch,   p.heads,
          p.head_dim};
}

/// What was measured of one mask in one setting, the latest record of each way to run it.
class Arms {
 public:
  explicit Arms(std::vector<const Record*> records) : records_(std::move(records)) {}

  /// The mask as it came.
  [[nodiscard]] std::optional<double> natural(const std::string& algorithm) const {
    const Record* found = find([&](const Record& r) { return r.problem.algorithm == algorithm; });
    return found == nullptr ? std::nullopt : std::optional(found->ms->natural.median);
  }

  /// Attention alone in RCM's order, without gathers: what the paper timed.
  [[nodiscard]] std::optional<double> bbm_rcm() const {
    const Record* found = find([](const Record& r) {
      return r.problem.algorithm == "bbm" && r.problem.pipeline.starts_with("rcm");
    });
    if (found == nullptr || !found->ms->permuted) return std::nullopt;
    return found->ms->permuted->median;
  }

  /// Lists in the order that makes a call fastest, moving Q, K, V and O included.
  [[nodiscard]] const Record* ordered() const {
    const Record* best = nullptr;
    for (const Record* r : records_) {
      if (r->problem.algorithm != "lists" || !r->permuted_call_ms) continue;
      if (best == nullptr || *r->permuted_call_ms < *best->permuted_call_ms) best = r;
    }
    return best;
  }

  /// The faster of the ways to run a mask that needs none.
  [[nodiscard]] std::optional<double> fastest() const {
    std::optional<double> least;
    for (const Record* r : records_) {
      if (r->problem.algorithm != "lists" && r->problem.algorithm != "dense") continue;
      least = std::min(least.value_or(r->ms->natural.median), r->ms->natural.median);
    }
    return least;
  }

 private:
  template <class Fits>
  [[nodiscard]] const Record* find(Fits fits) const {
    const auto found =
        std::find_if(records_.rbegin(), records_.rend(), [&](const Record* r) { return fits(*r); });
    return found == records_.rend() ? nullptr : *found;
  }

  std::vector<const Record*> records_;
};

/// The records by setting and mask.
class Measurements {
 public:
  explicit Measurements(const std::vector<Record>& records) {
    for (const Record& r : records) {
      if (r.status == "ok" && r.ms) by_mask_[{setting_of(r), r.problem.mask}].push_back(&r);
    }
  }

  [[nodiscard]] Arms of(const Setting& setting, const std::string& mask) const {
    const auto found = by_mask_.find({setting, mask});
    return Arms(found == by_mask_.end() ? std::vector<const Record*>{} : found->second);
  }

  [[nodiscard]] bool has_cudnn(const Setting& setting) const {
    return std::any_of(by_mask_.begin(), by_mask_.end(), [&](const auto& entry) {
      const auto is_cudnn = [](const Record* r) { return r->problem.backend == "cudnn"; };
      return entry.first.first == setting &&
             std::any_of(entry.second.begin(), entry.second.end(), is_cudnn);
    });
  }

  /// The settings in which any of these masks was measured.
  [[nodiscard]] std::set<Setting> settings(const Json& rows) const {
    std::set<Setting> all;
    for (const auto& [key, records] : by_mask_) {
      const auto is_key_mask = [&, mask = key.second](const Json& row) {
        return row["mask"] == mask;
      };
      if (std::any_of(rows.begin(), rows.end(), is_key_mask)) all.insert(key.first);
    }
    return all;
  }

 private:
  std::map<std::pair<Setting, std::string>, std::vector<const Record*>> by_mask_;
};

std::string ms(std::optional<double> value) {
  return value ? three_digits(*value) : "";
}
std::string times(std::optional<double> baseline, std::optional<double> value) {
  return baseline && value ? fixed(*baseline / *value, 2) + "x" : "";
}
std::optional<double> number(const Json& row, const char* key) {
  return row.contains(key) ? std::optional(row[key].get<double>()) : std::nullopt;
}
/// The paper's own arm for a mask: with an ordering, with dense blocks, or plain.
std::optional<double> paper_arm(const Json& row) {
  for (const char* key : {"bbm_rcm", "bbm_dense", "bbm"}) {
    if (const auto value = number(row, key)) return value;
  }
  return std::nullopt;
}

const std::vector<std::string> kHeading = {"mask",  "paper FA", "paper BBM", "paper",   "flash",
                                           "naive", "BBM",      "dense BBM", "BBM+RCM", "lists",
                                           "ours",  "ordered",  "ours",      "ordering"};

std::vector<std::string> cells(const Json& row, const Measurements& measured,
                               const Setting& setting, const std::string& baseline_mask) {
  const std::string mask = row["mask"];
  const Arms arms = measured.of(setting, mask);
  const auto baseline =
      measured.of(setting, baseline_mask + "(n=" + std::to_string(row["n"].get<int>()) + ")")
          .fastest();
  const auto lists = arms.natural("lists");
  const Record* const ordered = arms.ordered();
  std::optional<double> ordered_ms;
  if (ordered != nullptr) ordered_ms = ordered->permuted_call_ms;
  return {mask,
          ms(number(row, "fa")),
          ms(paper_arm(row)),
          times(number(row, "fa"), paper_arm(row)),
          ms(baseline),
          ms(arms.natural("naive")),
          ms(arms.natural("bbm")),
          ms(arms.natural("dense_bbm")),
          ms(arms.bbm_rcm()),
          ms(lists),
          times(baseline, lists),
          ms(ordered_ms),
          times(baseline, ordered_ms),
          ordered == nullptr ? "" : three_digits(ordered->ms->ordering.median)};
}

std::string title(const Json& table, const Setting& s, bool with_cudnn, bool markdown) {
  const std::string gpu = table["gpu"];
  const std::string pass = s.pass == "fwd"   ? "forward"
                           : s.pass == "bwd" ? "backward"
                                             : "forward + backward";
  const std::string paper =
      table["source"].get<std::string>() +
      (gpu == "none"
           ? ""
           : ", " + gpu + ", " + (table["pass"] == "fwd" ? "forward" : "forward + backward"));
  return (markdown ? "### " : "") + table["title"].get<std::string>() + "\n" +
         (markdown ? "\n" : "") + "Paper: " + paper + ". Here: " + s.backend + ", " + s.device +
         ", " + s.dtype + ", " + pass + ", B=" + std::to_string(s.batch) +
         ", H=" + std::to_string(s.heads) + ", D=" + std::to_string(s.head_dim) +
         "; flash is the faster of ours" + (with_cudnn ? " and cuDNN" : "") + ", " +
         (table["baseline"] == "causal" ? "causal" : "dense") + ". " +
         table["note"].get<std::string>() + "\n\n";
}

}  // namespace

std::string render(const std::vector<Record>& records, TableFormat format) {
  if (format == TableFormat::csv) {
    throw UsageError(
        "the paper's tables are text or markdown; `blockfill table RESULTS.jsonl -f csv` "
        "writes the records behind them");
  }
  const bool markdown = format == TableFormat::markdown;
  const Measurements measured(records);
  std::vector<Align> align(kHeading.size(), Align::right);
  align[0] = Align::left;
  std::string text;
  const Json figures = Json::parse(kFigures);
  for (const Json& table : figures["tables"]) {
    for (const Setting& setting : measured.settings(table["rows"])) {
      std::vector<std::vector<std::string>> rows = {kHeading};
      for (const Json& row : table["rows"]) {
        rows.push_back(cells(row, measured, setting, table["baseline"]));
      }
      text += title(table, setting, measured.has_cudnn(setting), markdown);
      text += (markdown ? markdown_table(rows, align) : align_columns(rows, align)) + "\n";
    }
  }
  if (text.empty()) {
    throw UsageError(
        "no record is of a mask of the paper; `blockfill sweep` with the files of "
        "experiments/configs/paper measures them");
  }
  return text +
         "Times in ms. paper: FA over its own arm, as printed there; ours: flash over lists, and "
         "over "
         "lists in the best order tried, moving Q, K, V\nand O counted and the ordering not: its "
         "time stands last. BBM+RCM: attention alone, as the paper timed it.\n";
}

}  // namespace experiments::paper

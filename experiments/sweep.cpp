// SPDX-License-Identifier: Apache-2.0
#include "experiments/sweep.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "attn/error.hpp"
#include "experiments/sweep_masks.hpp"
#include "experiments/text.hpp"

namespace experiments {
namespace {

/// The last record of each key: a later measurement replaces an earlier one.
std::unordered_map<std::string, const Record*> by_key(const std::vector<Record>& records) {
  std::unordered_map<std::string, const Record*> latest;
  for (const Record& record : records) latest[record.key] = &record;
  return latest;
}

void count(SweepSummary& summary, const std::string& status) {
  summary.mismatches += status == "mismatch";
  summary.failed += status == "failed";
}

std::string outcome(const Record& record) {
  if (record.status != "ok") return record.status + ": " + record.error;
  const double after = record.permuted_call_ms.value_or(record.ms->natural.median);
  return grouped(record.before.nonempty) + " → " + grouped(record.after.nonempty) + " tiles, " +
         three_digits(record.ms->natural.median) + " → " + three_digits(after) + " ms";
}

/// Whether a record was verified as far as this sweep asks. A failed one and one without rows have
/// nothing to verify.
bool verified_enough(const Record& record, Scope wanted) {
  const auto& v = record.verification;
  if (wanted == Scope::none || record.status == "failed" || v.rows_total == 0) return true;
  return wanted == Scope::whole ? v.scope == "whole" : v.scope != "none";
}

std::int64_t larger_side(const masks::Mask& mask) {
  return std::max(mask.pattern.n_rows(), mask.pattern.n_cols());
}

}  // namespace

std::vector<bool> finished(const SweepConfig& config, const std::vector<Record>& earlier,
                           const SweepOptions& options) {
  const auto latest = by_key(earlier);
  std::vector<bool> done;
  for (const auto& combination : config.combinations) {
    const auto found = latest.find(key_of(combination.problem));
    if (found == latest.end() || options.rerun) {
      done.push_back(false);
      continue;
    }
    const Record& record = *found->second;
    const bool retry = options.retry_failed && record.status == "failed";
    done.push_back(!retry && same_content(record.inputs, combination.inputs) &&
                   verified_enough(record, combination.options.scope));
  }
  return done;
}

SweepSummary run_sweep(const SweepConfig& config, RecordFile& file,
                       const reorder::Registry& registry, const SweepOptions& options,
                       const std::function<bool()>& stop, Progress& progress) {
  SweepSummary summary;
  summary.total = static_cast<int>(config.combinations.size());
  const auto done = finished(config, file.earlier(), options);
  const auto latest = by_key(file.earlier());
  std::vector<const Combination*> pending;
  for (std::size_t i = 0; i < done.size(); ++i) {
    if (!done[i]) pending.push_back(&config.combinations[i]);
  }
  SweepMasks masks(pending, registry, masks_ahead(pending));
  for (std::size_t i = 0; i < config.combinations.size(); ++i) {
    const Combination& combination = config.combinations[i];
    const Problem& problem = combination.problem;
    if (done[i]) {
      ++summary.skipped;
      count(summary, latest.at(key_of(problem))->status);
      continue;
    }
    if (stop()) {
      summary.interrupted = true;
      break;
    }
    progress.begin((combination.label.empty() ? problem.mask : combination.label) + " · " +
                   problem.pipeline + " · " + problem.backend);
    Record record;
    try {
      Workload& workload = masks.get(problem.mask);
      const std::int64_t n = larger_side(workload.mask());
      if (combination.max_n > 0 && n > combination.max_n) {
        ++summary.too_large;
        progress.done("left out: N is " + grouped(n) + ", max_n " + grouped(combination.max_n));
        continue;
      }
      record = measure(problem, workload, registry, combination.options);
    } catch (const std::bad_alloc&) {
      record = failed_record(problem, "not enough memory");
    } catch (const attn::Error& error) {
      // Another build, or another machine, may measure it: no record stands in the way of that.
      if (error.code() == attn::ErrorCode::no_device) {
        ++summary.no_device;
        progress.done("left out: " + std::string(error.what()));
        continue;
      }
      record = failed_record(problem, error.what());
    } catch (const std::exception& error) {
      record = failed_record(problem, error.what());
    }
    record.label = combination.label;
    record.inputs = combination.inputs;
    file.append(record);
    ++summary.measured;
    count(summary, record.status);
    progress.done(outcome(record));
  }
  return summary;
}

}  // namespace experiments

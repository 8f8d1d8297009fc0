// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/call_cost.hpp"
#include "experiments/environment.hpp"
#include "experiments/fields.hpp"
#include "experiments/problem.hpp"
#include "reorder/objective.hpp"

namespace experiments {

/// Raised when a field changes its meaning or goes; new fields do not raise it.
inline constexpr int kCalibrationVersion = 1;

/// What tiles and moved rows cost one backend in one setting: milliseconds of a call for each pair
/// of batch element and head. Tiles are what orderings count; `call` says what a call takes.
struct BackendCost {
  std::string backend;
  std::string dtype;
  int head_dim = 0;
  std::string tile;
  int threads = 0;
  double t_full = 0;
  double t_partial = 0;
  double t_row = 0;     ///< a row of tiles
  double t_gather = 0;  ///< a row of Q, K, V or O that is read or written out of its place
  /// Rows in arithmetic progression that are no such rows: the backend loads them where they lie.
  std::int64_t box = 1;
  double r2 = 0;                 ///< of the fit
  double worst = 0;              ///< the largest relative residual of the fit
  int masks = 0;                 ///< that were measured
  std::optional<CallCost> call;  ///< the finer model, for predictions; absent in older files
  std::string device;            ///< CPU or GPU
  std::string time;
};

template <class T, class Visit>
requires Is<T, BackendCost>
void fields(T& c, Visit&& visit) {
  visit("backend", c.backend);
  visit("dtype", c.dtype);
  visit("head_dim", c.head_dim);
  visit("tile", c.tile);
  visit("threads", c.threads);
  visit("t_full", c.t_full);
  visit("t_partial", c.t_partial);
  visit("t_row", c.t_row);
  visit("t_gather", c.t_gather);
  visit("box", c.box);
  visit("r2", c.r2);
  visit("worst", c.worst);
  visit("masks", c.masks);
  visit("call", c.call);
  visit("device", c.device);
  visit("time", c.time);
}

/// What `blockfill calibrate` measured on one machine.
struct Calibration {
  std::string format = "blockfill calibration";
  int version = kCalibrationVersion;
  double work_per_second = 0;  ///< of orderings, on one thread; turns a budget's seconds into work
  std::vector<BackendCost> costs;
};

template <class T, class Visit>
requires Is<T, Calibration>
void fields(T& c, Visit&& visit) {
  visit("format", c.format);
  visit("version", c.version);
  visit("work_per_second", c.work_per_second);
  visit("costs", c.costs);
}

/// Throws reorder::Error{bad_file} for what is no such file, is of another version or holds a
/// number that cannot be.
[[nodiscard]] Calibration read_calibration(const std::filesystem::path& file);

/// Whole or not at all. Throws reorder::Error{bad_file}.
void write_calibration(const std::filesystem::path& file, const Calibration& calibration);

/// Puts `cost` in the place of the one of the same setting, or behind the others.
void add(Calibration& calibration, const BackendCost& cost);

/// The cost of the problem's backend, dtype, head_dim and tile; of several, that of its number of
/// threads, or the last. Throws UsageError that says what `where` holds instead.
[[nodiscard]] const BackendCost& cost_of(const Calibration& calibration, const Problem& problem,
                                         const std::string& where);

/// As an objective, whose value is then the predicted time of a call in milliseconds.
[[nodiscard]] reorder::Objective objective_of(const BackendCost& cost);

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/calibration.hpp"

#include <algorithm>
#include <cmath>

#include "experiments/exit_code.hpp"
#include "experiments/json_text.hpp"
#include "experiments/parameters.hpp"
#include "reorder/error.hpp"
#include "reorder/files.hpp"

namespace experiments {
namespace {

std::string setting_of(const BackendCost& c) {
  return c.backend + " " + c.dtype + " D=" + std::to_string(c.head_dim) + " tile " + c.tile;
}

bool same_setting(const BackendCost& a, const BackendCost& b) {
  return setting_of(a) == setting_of(b) && a.threads == b.threads;
}

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw reorder::Error(reorder::ErrorCode::bad_file, file.string() + ": " + what);
}

void require(const std::filesystem::path& file, const std::string& name, double value) {
  if (!(value >= 0) || std::isinf(value)) {
    fail(file, name + " is " + Json(value).dump() + ", it must be a number and not negative");
  }
}

void check(const std::filesystem::path& file, const Calibration& calibration) {
  require(file, "work_per_second", calibration.work_per_second);
  for (std::size_t i = 0; i < calibration.costs.size(); ++i) {
    const BackendCost& c = calibration.costs[i];
    const std::string place = "costs[" + std::to_string(i) + "].";
    require(file, place + "t_full", c.t_full);
    require(file, place + "t_partial", c.t_partial);
    require(file, place + "t_row", c.t_row);
    require(file, place + "t_gather", c.t_gather);
    if (c.box < 1)
      fail(file, place + "box is " + std::to_string(c.box) + ", it must be at least 1");
    if (c.t_full + c.t_partial == 0) fail(file, place + "t_full and t_partial are both 0");
    const auto require_tile = [&](const std::string& name, const std::string& text) {
      try {
        (void)parse_tile(text);
      } catch (const std::exception& error) {
        fail(file, place + name + ": " + error.what());
      }
    };
    require_tile("tile", c.tile);
    if (!c.call) continue;
    require_tile("call.part", c.call->part);
    require_tile("call.step", c.call->step);
    if (c.call->shortest_cut < 0 || c.call->processors < 1) {
      fail(file, place + "call.shortest_cut must not be negative, call.processors not below 1");
    }
    require(file, place + "call.t_call", c.call->t_call);
    require(file, place + "call.t_full", c.call->t_full);
    require(file, place + "call.t_partial", c.call->t_partial);
    require(file, place + "call.t_step", c.call->t_step);
    require(file, place + "call.t_row", c.call->t_row);
    require(file, place + "call.rows_at_once", c.call->rows_at_once);
  }
}

}  // namespace

Calibration read_calibration(const std::filesystem::path& file) {
  Calibration calibration;
  calibration.format.clear();
  calibration.version = 0;
  try {
    const Json json = parse_json(reorder::read_file(file), file.string());
    if (json.is_object()) decode(json, calibration);
  } catch (const JsonError& error) {
    throw reorder::Error(reorder::ErrorCode::bad_file, error.what());
  } catch (const FieldError& error) {
    fail(file, error.what());
  }
  if (calibration.format != Calibration{}.format) {
    fail(file, "not a calibration: `blockfill calibrate -o FILE` writes one");
  }
  if (calibration.version != kCalibrationVersion) {
    fail(file, "a calibration of version " + std::to_string(calibration.version) +
                   ", this program reads version " + std::to_string(kCalibrationVersion));
  }
  check(file, calibration);
  return calibration;
}

void write_calibration(const std::filesystem::path& file, const Calibration& calibration) {
  reorder::write_file(file, encode(calibration).dump(2) + "\n");
}

void add(Calibration& calibration, const BackendCost& cost) {
  const auto same =
      std::find_if(calibration.costs.begin(), calibration.costs.end(),
                   [&](const BackendCost& other) { return same_setting(other, cost); });
  if (same != calibration.costs.end()) {
    *same = cost;
  } else {
    calibration.costs.push_back(cost);
  }
}

const BackendCost& cost_of(const Calibration& calibration, const Problem& problem,
                           const std::string& where) {
  const BackendCost* found = nullptr;
  BackendCost wanted;
  wanted.backend = problem.backend;
  wanted.dtype = problem.dtype;
  wanted.head_dim = problem.head_dim;
  wanted.tile = to_string(parse_tile(problem.tile));
  std::string held;
  for (const BackendCost& cost : calibration.costs) {
    held += (held.empty() ? "" : "; ") + setting_of(cost);
    if (setting_of(cost) != setting_of(wanted)) continue;
    if (found == nullptr || found->threads != problem.threads) found = &cost;
  }
  if (found == nullptr) {
    throw UsageError(where + " has no costs of " + setting_of(wanted) + "; it has " +
                     (held.empty() ? "none" : held));
  }
  return *found;
}

reorder::Objective objective_of(const BackendCost& cost) {
  reorder::Objective objective{.kind = reorder::Objective::Kind::cost_model,
                               .tile = parse_tile(cost.tile)};
  objective.t_full = cost.t_full;
  objective.t_partial = cost.t_partial;
  objective.t_row = cost.t_row;
  objective.t_gather = cost.t_gather;
  objective.box = cost.box;
  if (cost.call && cost.call->part != cost.call->step) {
    objective.tile = parse_tile(cost.call->step);
    objective.part = parse_tile(cost.call->part);
    objective.t_full = cost.call->t_full;
    objective.t_partial = cost.call->t_partial;
    objective.t_tile = cost.call->t_step;
    objective.t_row = cost.call->t_row;
  }
  return objective;
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/parameters.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "attn/backend.hpp"
#include "experiments/calibration.hpp"
#include "experiments/exit_code.hpp"
#include "experiments/text.hpp"
#include "reorder/spec.hpp"

namespace experiments {
namespace {

/// Throws with the nearest name, which libattn does not look for.
void require_backend(const std::string& name) {
  std::vector<std::string> names;
  std::string all;
  for (const attn::Backend* backend : attn::backends()) {
    names.push_back(backend->info().name);
    if (names.back() == name) return;
    all += (all.empty() ? "" : ", ") + names.back();
  }
  throw UsageError("no backend is named '" + name + "'" +
                   did_you_mean_or(name, names, "there are " + all));
}

void require_algorithm(const std::string& name) {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(attn::Algorithm::dense_bbm); ++i) {
    names.emplace_back(attn::to_string(static_cast<attn::Algorithm>(i)));
  }
  const std::string hint = did_you_mean(name, names);
  if (std::find(names.begin(), names.end(), name) == names.end() && !hint.empty()) {
    throw UsageError("no algorithm is named '" + name + "'" + hint);
  }
  (void)attn::parse_algorithm(name);
}

/// A whole number that is all of `text`, or 0.
std::int32_t positive_number(std::string_view text) {
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && value > 0 ? value : 0;
}

void require(bool fits, const char* name, int value, const char* limit) {
  if (!fits) {
    throw UsageError(std::string(name) + " is " + std::to_string(value) + ", it must be " + limit);
  }
}

/// An objective whose form the backend does not run would be lowered for nothing.
void require_form(const Problem& problem, const reorder::Objective& objective) {
  using Kind = reorder::Objective::Kind;
  const bool split = objective.kind == Kind::tiles_min;
  if (!split && objective.kind != Kind::gather) return;
  const auto& info = attn::backend(problem.backend).info();
  const std::string name = reorder::to_string(objective);
  if (!(split ? info.split : info.gathered)) {
    throw UsageError("backend " + info.name + " does not run " + (split ? "split" : "gathered") +
                     " masks, as " + name + " asks for");
  }
  if (problem.algorithm != "lists") {
    throw UsageError("algorithm " + problem.algorithm + " walks tiles, but " + name +
                     " asks for another form of the mask");
  }
  if (parse_pass(problem.pass) != Pass::forward) {
    throw UsageError(std::string(split ? "split" : "gathered") + " masks, as " + name +
                     " asks for, have no backward pass");
  }
  if (objective.tile != parse_tile(problem.tile)) {
    throw UsageError(name + " is for tiles of " + to_string(objective.tile) + ", but --tile is " +
                     problem.tile);
  }
}

}  // namespace

reorder::Tile parse_tile(std::string_view text) {
  const auto cross = text.find('x');
  reorder::Tile tile{0, 0};
  if (cross != std::string_view::npos) {
    tile = {positive_number(text.substr(0, cross)), positive_number(text.substr(cross + 1))};
  }
  if (tile.rows == 0 || tile.cols == 0) {
    throw UsageError("'" + std::string(text) + "' is not a tile shape such as 128x64");
  }
  reorder::validate(tile);
  return tile;
}

std::vector<reorder::Tile> parse_tiles(std::string_view text) {
  std::vector<reorder::Tile> tiles;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    tiles.push_back(parse_tile(text.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return tiles;
}

attn::TileShape tile_shape(const reorder::Tile& tile) {
  return {tile.rows, tile.cols};
}

attn::DType parse_dtype(std::string_view text) {
  std::vector<std::string> names;
  for (const auto dtype : {attn::DType::f32, attn::DType::f16, attn::DType::bf16}) {
    if (text == attn::to_string(dtype)) return dtype;
    names.emplace_back(attn::to_string(dtype));
  }
  throw UsageError("no dtype '" + std::string(text) + "'" +
                   did_you_mean_or(text, names, "there are f32, f16 and bf16"));
}

Pass parse_pass(std::string_view text) {
  if (text == "fwd") return Pass::forward;
  if (text == "bwd") return Pass::backward;
  if (text == "both") return Pass::both;
  const std::vector<std::string> names = {"fwd", "bwd", "both"};
  throw UsageError("no pass '" + std::string(text) + "'" +
                   did_you_mean_or(text, names, "there are fwd, bwd and both"));
}

GradientWay parse_gradients(std::string_view text) {
  if (text.empty()) return {};
  if (text == "unordered") return {.deterministic = false};
  if (text == "two-pass") return {.passes = 2};
  if (text == "one-pass") return {.passes = 1};
  if (text == "one-pass-unordered") return {.passes = 1, .deterministic = false};
  const std::vector<std::string> names = {"unordered", "two-pass", "one-pass",
                                          "one-pass-unordered"};
  throw UsageError("no way '" + std::string(text) + "' to make gradients" +
                   did_you_mean_or(text, names,
                                   "there are unordered, two-pass, one-pass and "
                                   "one-pass-unordered"));
}

std::string calibration_of(std::string_view objective) {
  constexpr std::string_view kName = "cost_model{";
  if (!objective.starts_with(kName) || !objective.ends_with('}')) return "";
  // A quoted value may hold what a word cannot.
  const auto chain = reorder::parse_chain(
      "cost_model(" +
      std::string(objective.substr(kName.size(), objective.size() - kName.size() - 1)) + ")");
  const auto& arguments = chain.front().arguments;
  if (arguments.size() != 1 || arguments[0].key != "file") return "";
  return arguments[0].text;
}

reorder::Objective objective_of(const Problem& problem) {
  std::string file = calibration_of(problem.objective);
  if (problem.objective.empty()) file = problem.cost_model;
  if (!file.empty()) return objective_of(cost_of(read_calibration(file), problem, file));
  return problem.objective.empty() ? reorder::Objective::tiles(parse_tile(problem.tile))
                                   : reorder::parse_objective(problem.objective);
}

reorder::Context context_of(const Problem& problem) {
  reorder::Context context{
      .objective = objective_of(problem), .seed = problem.seed, .threads = problem.threads};
  if (problem.budget.empty()) return context;
  std::string file = calibration_of(problem.objective);
  if (file.empty()) file = problem.cost_model;
  const double rate = file.empty() ? 0 : read_calibration(file).work_per_second;
  context.budget = rate > 0 ? reorder::parse_budget(problem.budget, rate)
                            : reorder::parse_budget(problem.budget);
  return context;
}

void validate(const Problem& problem) {
  const reorder::Tile tile = parse_tile(problem.tile);
  for (const std::int32_t side : {tile.rows, tile.cols}) {
    if (side % 8 != 0 || side > 256) {
      throw UsageError("tile " + problem.tile +
                       ": attention needs sides that are multiples of 8 up to 256");
    }
  }
  if (!problem.kernel_tile.empty()) (void)parse_tile(problem.kernel_tile);
  (void)parse_dtype(problem.dtype);
  (void)parse_pass(problem.pass);
  (void)parse_gradients(problem.gradients);
  require_backend(problem.backend);
  require_algorithm(problem.algorithm);
  require_form(problem, context_of(problem).objective);
  require(problem.batch >= 1, "batch", problem.batch, "at least 1");
  require(problem.heads >= 1, "heads", problem.heads, "at least 1");
  require(problem.head_dim >= 1, "head-dim", problem.head_dim, "at least 1");
  if (problem.scale && !std::isfinite(static_cast<float>(*problem.scale))) {
    throw UsageError("scale is " + reorder::to_string(reorder::Value(*problem.scale)) +
                     ", it must be finite as a 32-bit float");
  }
  require(problem.kv_heads >= 1 && problem.heads % problem.kv_heads == 0, "kv-heads",
          problem.kv_heads, ("a divisor of heads, " + std::to_string(problem.heads)).c_str());
}

float scale_of(const Problem& problem) {
  if (problem.scale) return static_cast<float>(*problem.scale);
  return 1.0F / std::sqrt(static_cast<float>(problem.head_dim));
}

std::string to_string(const reorder::Tile& tile) {
  return std::to_string(tile.rows) + "x" + std::to_string(tile.cols);
}

}  // namespace experiments

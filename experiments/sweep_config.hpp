// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "experiments/experiment.hpp"
#include "experiments/fields.hpp"
#include "experiments/problem.hpp"

namespace experiments {

/// One combination of a sweep.
struct Combination {
  Problem problem;
  std::string label;
  std::vector<InputFile> inputs = {};  ///< as they were when the configuration was read
  MeasureOptions options = {};
  std::int64_t max_n = 0;  ///< left out when the mask has more queries or keys; 0: never
};

/// A sweep as its configurations describe it, combinations of one mask side by side, each once.
struct SweepConfig {
  std::vector<Combination> combinations;
};

/// Reads a configuration, a JSON object whose keys are all optional but masks:
///
///     {
///       "masks":      ["longformer(n={n})", {"mask": "peer:docs_mean1024", "label": "documents"}],
///       "n":          [1024, 4096],       what {n} in a mask stands for; one must have it
///       "max_n":      2048,               leave out masks of more queries or keys
///       "modifiers":  ["", "shuffle(seed=1)"],   put behind every mask
///       "pipelines":  ["natural", "rcm"],
///       "backends":   ["cpu"],
///       "algorithms": ["lists"],          as attn::Algorithm names them
///       "pass":       "fwd",              or "bwd", "both"
///       "gradients":  ["", "unordered"],  as parse_gradients has them
///       "tiles":      ["128x128"],
///       "kernel_tiles": ["192x64"],       of the forward kernel; the backend's choice without it
///       "objectives": ["tiles{128,128}"],
///       "budgets":    ["0.3s", "work:1250000000"],   what `auto` may spend
///       "cost_models": ["h100.json"],     files of `blockfill calibrate`
///       "dtypes":     ["f32"],
///       "batch": 1, "heads": 4, "kv_heads": 4, "head_dims": [64],
///       "scales":     [0.5],              of Q K^T; 1/sqrt(head_dim) without it
///       "seeds":      [0],
///       "repeats": 5, "min_time": 0.2, "verify": "auto"
///     }
///
/// Each key but max_n and the last three takes one value or a list; the sweep is the cross product
/// of all lists, each combination once. All are checked here, as far as that makes no mask, so that
/// a misspelt name or a missing mask ends a sweep before it begins. `defaults` gives seed and
/// threads. An override "key=value" stands in for the key of the file, its value JSON or plain
/// text: "backends=hopper", "n=[1024,4096]". Throws UsageError with a sentence that begins with the
/// file's name, or reorder::Error{bad_file} for a mask's file.
[[nodiscard]] SweepConfig read_sweep_config(const std::filesystem::path& file,
                                            std::span<const std::string> overrides,
                                            const Problem& defaults,
                                            const reorder::Registry& registry,
                                            const PluginFiles& plugins = {});

/// The same from parsed JSON; `where` stands before every message.
[[nodiscard]] SweepConfig parse_sweep_config(const Json& json, const std::string& where,
                                             const Problem& defaults,
                                             const reorder::Registry& registry,
                                             const PluginFiles& plugins = {});

/// All of them as one sweep: a mask that several name is made once, and its combinations follow
/// each other.
[[nodiscard]] SweepConfig joined(std::span<const SweepConfig> configs);

/// "auto", "whole" or "none". Throws UsageError.
[[nodiscard]] Scope parse_scope(const std::string& text);

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "experiments/fields.hpp"

namespace experiments {

/// What one measurement is asked to do, as text and numbers: all that decides its result, and
/// nothing else. Its key tells finished records from missing ones.
struct Problem {
  std::string mask;                  ///< text for masks::make
  std::string pipeline = "natural";  ///< text for reorder::Pipeline::parse
  std::string backend = "cpu";
  std::string algorithm = "lists";  ///< text for attn::parse_algorithm
  std::string pass = "fwd";         ///< fwd, bwd or both, one after the other
  std::string tile = "128x128";     ///< BMxBN
  std::string kernel_tile;          ///< BMxBN that the forward kernel computes in; "": its choice
  std::string gradients;            ///< text for parse_gradients
  std::string objective;            ///< text for objective_of; "": the tile's count, or cost_model
  std::string cost_model;           ///< the file of a calibration, or ""
  std::string budget;               ///< text for reorder::parse_budget; "": the pipeline's own
  std::string dtype = "f32";
  int batch = 1;
  int heads = 4;
  int kv_heads = 4;
  int head_dim = 64;
  std::optional<double> scale;  ///< of Q Kᵀ; absent: 1/√head_dim
  std::uint64_t seed = 0;       ///< of the ordering and of the random tensors
  int threads = 1;
};

template <class T, class Visit>
requires Is<T, Problem>
void fields(T& p, Visit&& visit) {
  visit("mask", p.mask);
  visit("pipeline", p.pipeline);
  visit("backend", p.backend);
  visit("algorithm", p.algorithm);
  visit("pass", p.pass);
  visit("tile", p.tile);
  visit("kernel_tile", p.kernel_tile);
  visit("gradients", p.gradients);
  visit("objective", p.objective);
  visit("cost_model", p.cost_model);
  visit("budget", p.budget);
  visit("dtype", p.dtype);
  visit("batch", p.batch);
  visit("heads", p.heads);
  visit("kv_heads", p.kv_heads);
  visit("head_dim", p.head_dim);
  visit("scale", p.scale);
  visit("seed", p.seed);
  visit("threads", p.threads);
}

/// "mask=... pipeline=... ... threads=2": equal for equal problems alone. What is "" and was not
/// there in the first records is left out, so that their keys stay what they were.
[[nodiscard]] std::string key_of(const Problem& problem);

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "experiments/calibration.hpp"
#include "experiments/problem.hpp"
#include "experiments/timing.hpp"

namespace experiments {

struct CalibrateOptions {
  Problem setting;  ///< backend, dtype, head_dim, tile, batch, heads, threads, seed; no mask
  int n = 4096;     ///< tokens of the masks
  Repeats repeats;
  /// Told each step before it is taken; may be empty.
  std::function<void(const std::string&)> on_step{};
};

/// Times attention under masks of every mixture of full, partial and empty tiles, in turns, and
/// fits what a tile and a row of tiles cost; then the same masks read through a random order, for
/// what a row out of its place costs. Throws attn::Error{no_device}, attn::Error{unsupported}.
[[nodiscard]] BackendCost calibrate_backend(const CalibrateOptions& options);

/// Work a second of `auto` on one thread, on the slowest of several masks.
[[nodiscard]] double calibrate_orderings(const CalibrateOptions& options);

}  // namespace experiments

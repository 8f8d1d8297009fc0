// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "experiments/oracle.hpp"
#include "experiments/record.hpp"
#include "experiments/timing.hpp"
#include "experiments/workload.hpp"

namespace experiments {

/// Who makes tile lists and bits of a mask: the host, or the device from CSR in its memory.
enum class MaskBuild { host, device };

struct MeasureOptions {
  Repeats repeats;
  Scope scope = Scope::automatic;
  double tolerance = 1;  ///< allowed errors, as a multiple of the oracle's own
  MaskBuild mask_build = MaskBuild::host;
};

/// What `validate(problem)` checks, and that the backend takes masks built that way. Throws
/// UsageError.
void validate(const Problem& problem, MaskBuild mask_build);

/// Orders the mask, runs attention in the caller's order and in the new one, each result compared
/// with the oracle, and times all parts apart. A mismatch is a record with that status; whatever
/// keeps the measurement from being made is thrown: reorder::Error, attn::Error, UsageError.
[[nodiscard]] Record measure(const Problem& problem, Workload& workload,
                             const reorder::Registry& registry, const MeasureOptions& options);

/// A record that says why the measurement failed.
[[nodiscard]] Record failed_record(const Problem& problem, const std::string& error);

}  // namespace experiments

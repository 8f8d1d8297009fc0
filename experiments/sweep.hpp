// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "experiments/progress.hpp"
#include "experiments/record_file.hpp"
#include "experiments/sweep_config.hpp"

namespace experiments {

struct SweepOptions {
  bool retry_failed = false;  ///< measure what failed before again
  bool rerun = false;         ///< measure everything again
};

struct SweepSummary {
  int total = 0;
  int skipped = 0;  ///< finished in an earlier run
  int measured = 0;
  int mismatches = 0;  ///< among all records of this sweep, earlier ones too
  int failed = 0;
  int too_large = 0;  ///< left out, without a record: above max_n
  int no_device = 0;  ///< left out, without a record: the backend cannot run here
  bool interrupted = false;
};

/// Measures every combination that `file` does not hold yet and appends a record of each as soon as
/// it is made. What fails is a record with its error, but for a missing device, which leaves none;
/// what `stop` says between two measurements ends the sweep early. Throws reorder::Error{bad_file}
/// when a record cannot be written.
[[nodiscard]] SweepSummary run_sweep(const SweepConfig& config, RecordFile& file,
                                     const reorder::Registry& registry, const SweepOptions& options,
                                     const std::function<bool()>& stop, Progress& progress);

/// Which combinations of the sweep the file holds already, by index: measured from the same input
/// files and verified as far as this sweep asks.
[[nodiscard]] std::vector<bool> finished(const SweepConfig& config,
                                         const std::vector<Record>& earlier,
                                         const SweepOptions& options);

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "experiments/oracle.hpp"
#include "experiments/record.hpp"
#include "experiments/timing.hpp"
#include "experiments/workload.hpp"
#include "masks/mask.hpp"
#include "reorder/pipeline.hpp"

namespace experiments {

/// Who makes tile lists and bits of a mask: the host, or the device from CSR in its memory.
enum class MaskBuild { host, device };

struct MeasureOptions {
  Repeats repeats;
  Scope scope = Scope::automatic;
  double tolerance = 1;  ///< allowed errors, as a multiple of the oracle's own
  MaskBuild mask_build = MaskBuild::host;
};

/// What several measurements of one mask share: the tensors and the oracle, made once for each
/// (batch, heads, head_dim, dtype, seed) in a row. Not copied: the oracle may be large.
class Workload {
 public:
  explicit Workload(masks::Mask mask) : mask_(std::move(mask)) {}

  [[nodiscard]] const masks::Mask& mask() const noexcept { return mask_; }

  /// For this problem, made anew when it differs from the one before in more than the pipeline,
  /// tile or backend. Both references hold until the next call.
  struct Data {
    Inputs inputs;
    Oracle oracle;
  };
  [[nodiscard]] const Data& data(const Problem& problem, Scope scope);

 private:
  masks::Mask mask_;
  std::string key_;
  std::unique_ptr<Data> data_;
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

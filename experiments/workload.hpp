// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "attn/block_mask.hpp"
#include "experiments/call_cost.hpp"
#include "experiments/oracle.hpp"
#include "experiments/record.hpp"
#include "experiments/tensor_cache.hpp"
#include "experiments/timing.hpp"
#include "masks/mask.hpp"
#include "reorder/objective.hpp"
#include "reorder/pipeline.hpp"

namespace experiments {

/// One mask and what its measurements share, each made when it is first asked for and timed then.
/// Not copied: masks and oracles may be large.
class Workload {
 public:
  /// Keeps a reference to the tensors, which outlive it.
  Workload(masks::Mask mask, TensorCache& tensors) : mask_(std::move(mask)), tensors_(tensors) {}
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  [[nodiscard]] const masks::Mask& mask() const noexcept { return mask_; }

  /// What one pipeline makes of the mask for one objective, budget, seed and number of threads.
  struct Ordered {
    reorder::Ordering ordering;
    OrderingFacts facts;
    Timing ms;
  };
  /// Throws what the pipeline throws.
  [[nodiscard]] const Ordered& ordered(const Problem& problem, const reorder::Registry& registry,
                                       const Repeats& repeats);

  /// Tiles of the mask as it came.
  struct Natural {
    reorder::TileCounts counts;
    std::int64_t lower_bound = 0;
    attn::BlockMask mask;
    Timing build;
  };
  [[nodiscard]] const Natural& natural(const Problem& problem, const Repeats& repeats);

  /// What a backend goes through under the mask as it came.
  [[nodiscard]] const WalkCounts& natural_walk(const attn::Walk& walk);

  [[nodiscard]] const Oracle& oracle(const Problem& problem, Scope scope);
  [[nodiscard]] const reorder::Csr& transposed();

  /// Good until the next call, from here or from another mask.
  [[nodiscard]] TensorSet& tensors(const Problem& problem, const attn::Backend& backend) {
    return tensors_.get(problem, mask_.pattern, backend);
  }

 private:
  masks::Mask mask_;
  TensorCache& tensors_;
  std::map<std::string, Ordered> orderings_;
  std::map<std::string, Natural> naturals_;
  std::map<std::string, WalkCounts> walks_;
  std::map<std::string, Oracle> oracles_;
  std::optional<reorder::Csr> transposed_;
};

}  // namespace experiments

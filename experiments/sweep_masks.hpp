// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "experiments/sweep_config.hpp"
#include "experiments/tensor_cache.hpp"
#include "experiments/workload.hpp"

namespace experiments {

/// How many masks may be made beside a measurement: up to four where all is measured on a device,
/// one for each four CPUs; none where a measurement needs the CPUs itself.
[[nodiscard]] std::size_t masks_ahead(const std::vector<const Combination*>& pending);

/// The masks of a sweep, one at a time, while the next ones are made and ordered by other threads:
/// on a device, an ordering takes longer than all that is measured of it.
class SweepMasks {
 public:
  /// What is to be measured, in order, and how many masks may be under way beside the current one.
  /// Keeps references to the combinations and the registry.
  SweepMasks(const std::vector<const Combination*>& pending, const reorder::Registry& registry,
             std::size_t ahead);

  /// Throws what masks::make throws, again for each combination of a mask that cannot be made.
  [[nodiscard]] Workload& get(const std::string& text);

 private:
  struct Group {
    std::string text;
    std::vector<const Combination*> combinations;
  };
  using Made = std::unique_ptr<Workload>;

  [[nodiscard]] Made make(const std::string& text);
  [[nodiscard]] Made make_ordered(const Group& group);
  void look_ahead();

  const reorder::Registry& registry_;
  std::size_t ahead_;
  TensorCache tensors_;
  std::string text_;
  Made current_;
  std::deque<Group> waiting_;
  std::deque<std::pair<std::string, std::future<Made>>> begun_;
};

}  // namespace experiments

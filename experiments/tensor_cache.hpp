// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <string>

#include "attn/backend.hpp"
#include "experiments/operands.hpp"
#include "experiments/problem.hpp"
#include "experiments/tensors.hpp"

namespace experiments {

/// The tensors of problems that differ in no shape, dtype and seed, on one backend.
struct TensorSet {
  const Inputs& inputs;  ///< on the host, in the caller's order
  Operands operands;     ///< the same in the backend's memory, with room for results
  Operands ordered;      ///< room for the same in another order; only with reserve_ordered
  Inputs gathered;       ///< the same on the host
  Outputs outputs;       ///< results on the host
  Gradients gradients;   ///< without elements where there is no backward pass

  void reserve_ordered(const attn::Backend& backend);
};

/// Makes tensors once for all measurements that can share them: at N = 16,384 that takes longer
/// than the measurement. The sets last used are kept, as long as their inputs take no more than
/// `limit` bytes; what hangs on them takes up to six times as much.
class TensorCache {
 public:
  static constexpr std::size_t kLimit = std::size_t{2} << 30;
  explicit TensorCache(std::size_t limit = kLimit) : limit_(limit) {}

  /// On the host. Good until the next call.
  [[nodiscard]] const Inputs& inputs(const Problem& problem, const reorder::CsrView& mask) {
    return entry(problem, mask).inputs;
  }

  /// Q, K, V and dO are as made; what the others hold is left from an earlier call. Good until the
  /// next call.
  [[nodiscard]] TensorSet& get(const Problem& problem, const reorder::CsrView& mask,
                               const attn::Backend& backend);

  /// Bytes of the inputs that are kept.
  [[nodiscard]] std::size_t held() const noexcept;

 private:
  struct Entry {
    std::string key;
    Inputs inputs;
    std::map<const attn::Backend*, TensorSet> sets;
  };

  Entry& entry(const Problem& problem, const reorder::CsrView& mask);

  std::size_t limit_;
  std::list<Entry> entries_;  ///< the last used in front
};

}  // namespace experiments

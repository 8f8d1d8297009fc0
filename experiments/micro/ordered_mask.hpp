// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "attn/backend.hpp"
#include "masks/mask.hpp"
#include "reorder/pipeline.hpp"

/// A mask as the benchmarks name it, "peer:causal" or "peer:causal@rcm": its text, and behind the @
/// the pipeline that orders it. Behind "@@" the tensors are in that order too, so that nothing is
/// left to permute.
class OrderedMask {
 public:
  explicit OrderedMask(const std::string& name)
      : mask_(masks::make(name.substr(0, name.find('@')))) {
    const std::size_t at = name.find('@');
    if (at == std::string::npos) return;
    const bool both = name.compare(at, 2, "@@") == 0;
    const auto registry = reorder::Registry::with_builtins();
    ordering_ = reorder::Pipeline::parse(name.substr(at + (both ? 2 : 1)), registry)
                    .run(mask_.pattern, {})
                    .ordering;
    permuted_ = reorder::permute(mask_.pattern, ordering_);
    if (both) mask_.pattern = permuted_;
    reordered_ = !both;
  }

  /// In the order of the tensors.
  [[nodiscard]] const reorder::Csr& natural() const { return mask_.pattern; }

  /// In its order, borrowed.
  [[nodiscard]] attn::CsrPattern pattern() const {
    const reorder::CsrView view = reordered_ ? permuted_.view() : mask_.pattern.view();
    return {view.n_rows, view.n_cols, view.row_offsets, view.col_indices};
  }

  /// Where its rows and columns stand in the tensors, borrowed.
  void set_orders(attn::PrepareOptions& options) const {
    if (!reordered_) return;
    options.q_order = ordering_.rows.new_to_old();
    options.kv_order = ordering_.cols.new_to_old();
  }

 private:
  masks::Mask mask_;
  bool reordered_ = false;
  reorder::Ordering ordering_;
  reorder::Csr permuted_;
};

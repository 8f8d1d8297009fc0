// SPDX-License-Identifier: Apache-2.0
#include "experiments/tensor_cache.hpp"

#include <algorithm>

namespace experiments {
namespace {

std::size_t bytes_of(const Inputs& inputs) {
  return inputs.q.bytes() + inputs.k.bytes() + inputs.v.bytes() + inputs.d_o.bytes();
}

/// All that decides the tensors.
std::string key_of_inputs(const Problem& p, const reorder::CsrView& mask) {
  std::string key = p.dtype;
  for (const std::uint64_t number :
       {static_cast<std::uint64_t>(p.batch), static_cast<std::uint64_t>(p.heads),
        static_cast<std::uint64_t>(p.kv_heads), static_cast<std::uint64_t>(p.head_dim),
        static_cast<std::uint64_t>(mask.n_rows), static_cast<std::uint64_t>(mask.n_cols), p.seed,
        static_cast<std::uint64_t>(p.pass != "fwd")}) {
    key += " " + std::to_string(number);
  }
  return key;
}

TensorSet make_set(const Inputs& inputs, const attn::Backend& backend) {
  TensorSet set{.inputs = inputs,
                .operands = allocate_operands(backend, inputs),
                .ordered = {},
                .gathered = {},
                .outputs = allocate_outputs(inputs),
                .gradients = allocate_gradients(inputs)};
  copy_in(backend, inputs, set.operands);
  return set;
}

}  // namespace

void TensorSet::reserve_ordered(const attn::Backend& backend) {
  if (ordered.q.view.data != nullptr) return;
  ordered = allocate_operands(backend, inputs);
  gathered = {
      allocate_like(inputs.q, "Q"), allocate_like(inputs.k, "K"), allocate_like(inputs.v, "V"), {}};
  if (operands.backward()) gathered.d_o = allocate_like(inputs.d_o, "dO");
}

TensorCache::Entry& TensorCache::entry(const Problem& problem, const reorder::CsrView& mask) {
  const std::string key = key_of_inputs(problem, mask);
  const auto known = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.key == key; });
  if (known != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, known);
  } else {
    entries_.push_front({key, make_inputs(problem, mask), {}});
    while (entries_.size() > 1 && held() > limit_) entries_.pop_back();
  }
  return entries_.front();
}

TensorSet& TensorCache::get(const Problem& problem, const reorder::CsrView& mask,
                            const attn::Backend& backend) {
  Entry& shared = entry(problem, mask);
  const auto set = shared.sets.find(&backend);
  if (set != shared.sets.end()) return set->second;
  return shared.sets.emplace(&backend, make_set(shared.inputs, backend)).first->second;
}

std::size_t TensorCache::held() const noexcept {
  std::size_t bytes = 0;
  for (const Entry& entry : entries_) bytes += bytes_of(entry.inputs);
  return bytes;
}

}  // namespace experiments

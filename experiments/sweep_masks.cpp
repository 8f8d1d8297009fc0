// SPDX-License-Identifier: Apache-2.0
#include "experiments/sweep_masks.hpp"

#include <algorithm>

#include "attn/backend.hpp"
#include "experiments/environment.hpp"

namespace experiments {

std::size_t masks_ahead(const std::vector<const Combination*>& pending) {
  constexpr int kCpusEach = 4;
  constexpr int kMost = 4;
  const bool on_device = std::all_of(pending.begin(), pending.end(), [](const auto* combination) {
    const auto& info = attn::backend(combination->problem.backend).info();
    return info.device_memory && info.unavailable.empty();
  });
  return on_device ? static_cast<std::size_t>(std::min(usable_cpus() / kCpusEach, kMost)) : 0;
}

SweepMasks::SweepMasks(const std::vector<const Combination*>& pending,
                       const reorder::Registry& registry, std::size_t ahead)
    : registry_(registry), ahead_(ahead) {
  for (const Combination* combination : pending) {
    const std::string& text = combination->problem.mask;
    if (waiting_.empty() || waiting_.back().text != text) waiting_.push_back({text, {}});
    waiting_.back().combinations.push_back(combination);
  }
}

Workload& SweepMasks::get(const std::string& text) {
  if (current_ && text == text_) return *current_;
  current_.reset();
  text_ = text;
  if (!waiting_.empty() && waiting_.front().text == text) waiting_.pop_front();
  std::future<Made> ready;
  if (!begun_.empty() && begun_.front().first == text) {
    ready = std::move(begun_.front().second);
    begun_.pop_front();
  }
  look_ahead();
  current_ = ready.valid() ? ready.get() : make(text);
  return *current_;
}

SweepMasks::Made SweepMasks::make(const std::string& text) {
  return std::make_unique<Workload>(masks::make(text), tensors_);
}

SweepMasks::Made SweepMasks::make_ordered(const Group& group) {
  Made made = make(group.text);
  for (const Combination* combination : group.combinations) {
    try {
      (void)made->ordered(combination->problem, registry_, combination->options.repeats);
    } catch (const std::exception&) {
      // Its measurement meets the same and makes a record of it.
    }
  }
  return made;
}

void SweepMasks::look_ahead() {
  while (begun_.size() < ahead_ && !waiting_.empty()) {
    const Group group = std::move(waiting_.front());
    waiting_.pop_front();
    begun_.emplace_back(
        group.text, std::async(std::launch::async, [this, group] { return make_ordered(group); }));
  }
}

}  // namespace experiments

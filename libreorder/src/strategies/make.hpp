// SPDX-License-Identifier: Apache-2.0
//
// How a strategy is written: make_<name>() returns make_strategy(info, function), where the
// function is (const CsrView& mask, const Params&, const Context&) -> Ordering.
#pragma once

#include <concepts>
#include <memory>
#include <utility>

#include "reorder/error.hpp"
#include "reorder/strategy.hpp"

namespace reorder {

using StrategyPtr = std::shared_ptr<const Strategy>;

namespace detail {

template <typename Function>
class FunctionStrategy final : public Strategy {
 public:
  FunctionStrategy(StrategyInfo info, Function function)
      : info_(std::move(info)), function_(std::move(function)) {}
  [[nodiscard]] const StrategyInfo& info() const override { return info_; }
  [[nodiscard]] Ordering order(const CsrView& mask, const Params& params,
                               const Context& context) const override {
    return function_(mask, params, context);
  }

 private:
  StrategyInfo info_;
  Function function_;
};

template <typename Function>
class FunctionReduction final : public Reduction {
 public:
  FunctionReduction(StrategyInfo info, Function function)
      : info_(std::move(info)), function_(std::move(function)) {}
  [[nodiscard]] const StrategyInfo& info() const override { return info_; }
  [[nodiscard]] Reduced reduce(const CsrView& mask, const Params& params,
                               const Context& context) const override {
    return function_(mask, params, context);
  }

 private:
  StrategyInfo info_;
  Function function_;
};

}  // namespace detail

template <typename Function>
requires std::is_invocable_r_v<Ordering, const Function&, const CsrView&, const Params&,
                               const Context&>
[[nodiscard]] StrategyPtr make_strategy(StrategyInfo info, Function function) {
  return std::make_shared<detail::FunctionStrategy<Function>>(std::move(info), std::move(function));
}

template <typename Function>
requires std::is_invocable_r_v<Reduction::Reduced, const Function&, const CsrView&, const Params&,
                               const Context&>
[[nodiscard]] StrategyPtr make_reduction(StrategyInfo info, Function function) {
  return std::make_shared<detail::FunctionReduction<Function>>(std::move(info),
                                                               std::move(function));
}

/// The entry of a strategy whose library this build lacks.
[[nodiscard]] inline StrategyPtr make_unavailable(StrategyInfo info) {
  info.unavailable = "built without " + info.capabilities.needs;
  return make_strategy(info,
                       [reason = info.name + " is " + info.unavailable](
                           const CsrView&, const Params&, const Context&) -> Ordering {
                         throw Error(ErrorCode::unavailable, reason);
                       });
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "attn/backend.hpp"
#include "attn/mask_forms.hpp"

namespace attn::cpu {

/// Plans of the forward pass. Throw Error{unsupported} when the backward pass is asked for.
[[nodiscard]] std::unique_ptr<Plan> make_split_plan(const SplitMask& mask,
                                                    const PrepareOptions& options);
[[nodiscard]] std::unique_ptr<Plan> make_gathered_plan(const GatheredMask& mask,
                                                       const PrepareOptions& options);

}  // namespace attn::cpu

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "masks/mask.hpp"

namespace masks {

/// What may follow a generator in a mask's text.
struct Modifier {
  GeneratorInfo info;
  std::function<reorder::Csr(const reorder::CsrView&, const reorder::Params&)> apply;
};

[[nodiscard]] std::vector<Modifier> make_modifiers();

}  // namespace masks

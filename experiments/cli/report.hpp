// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "experiments/record.hpp"
#include "masks/mask.hpp"
#include "reorder/pipeline.hpp"

namespace experiments {

// Paragraphs that several commands print.

/// "longformer(n=4096)   4,096 x 4,096, 2,234,112 allowed pairs (13%)".
[[nodiscard]] std::string describe(const masks::Mask& mask);

/// The stages and candidates of an ordering with their times and tiles.
[[nodiscard]] std::string describe(const OrderingFacts& ordering, double seconds);

/// A record as `blockfill run` prints it.
[[nodiscard]] std::string describe(const Record& record);

/// A label and its text, the texts of all lines in one column.
[[nodiscard]] std::string labelled(const std::string& label, const std::string& text);

}  // namespace experiments

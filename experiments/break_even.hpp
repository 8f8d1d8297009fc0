// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "experiments/record.hpp"

namespace experiments {

/// Fills in the fastest way to run the reordered mask, what a call then takes, and after how many
/// calls reordering has paid:
///
///     once  = ordering + permute + (build + prepare) permuted − (build + prepare) natural
///     saved = natural − min(fused, gather + permuted + scatter)
///     calls = max(1, ⌈once / saved⌉), absent when nothing is saved
///
/// in medians. The natural order needs a mask built and prepared as well, so only the difference
/// counts. Expects `record.ms` and `record.ordering`.
void set_break_even(Record& record);

}  // namespace experiments

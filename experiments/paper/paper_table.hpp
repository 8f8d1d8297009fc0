// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "experiments/record.hpp"
#include "experiments/table.hpp"

namespace experiments::paper {

/// The tables of arXiv 2409.15097 with the records of `configs/paper/` beside them: a table of the
/// paper for each backend, dtype and pass that the records hold, a row a mask. What was not
/// measured stays empty. No CSV: the records themselves are the data. Throws UsageError when no
/// record is of a mask of the paper.
[[nodiscard]] std::string render(const std::vector<Record>& records, TableFormat format);

}  // namespace experiments::paper

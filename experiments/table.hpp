// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "experiments/record.hpp"

namespace experiments {

enum class TableFormat { text, markdown, csv };

/// Throws UsageError with the nearest name.
[[nodiscard]] TableFormat parse_table_format(const std::string& text);

/// One table for a reader: a line for each mask and pipeline, the latest record of each key, with a
/// line of explanation below it. As CSV every field of every record, for a program.
[[nodiscard]] std::string render_table(const std::vector<Record>& records, TableFormat format);

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "io/readers.hpp"
#include "reorder/error.hpp"

namespace masks {
namespace {

constexpr std::int64_t kAlwaysAllowed = std::int64_t{1} << 22;  // 32 MiB of row offsets
constexpr std::int64_t kRowsPerEntry = 64;

}  // namespace

void check_claimed_rows(std::int64_t rows, std::uint64_t entries, const std::string& source) {
  if (rows <= kAlwaysAllowed) return;
  if (static_cast<std::uint64_t>(rows / kRowsPerEntry) <= entries) return;
  throw reorder::Error(reorder::ErrorCode::bad_file,
                       source + ": claims " + std::to_string(rows) + " rows but has only " +
                           std::to_string(entries) + " entries; above " +
                           std::to_string(kAlwaysAllowed) + " rows, at most " +
                           std::to_string(kRowsPerEntry) + " rows an entry are taken as meant");
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include "experiments/exit_code.hpp"

#include "attn/error.hpp"
#include "reorder/error.hpp"

namespace experiments {
namespace {

ExitCode of_code(reorder::ErrorCode code) noexcept {
  switch (code) {
    case reorder::ErrorCode::invalid_argument:
    case reorder::ErrorCode::unknown_name:
    case reorder::ErrorCode::syntax:
    case reorder::ErrorCode::too_large:
      return ExitCode::usage;
    case reorder::ErrorCode::invalid_pattern:
    case reorder::ErrorCode::not_a_permutation:
    case reorder::ErrorCode::bad_file:
    case reorder::ErrorCode::plugin:
    case reorder::ErrorCode::unavailable:
      return ExitCode::failure;
  }
  return ExitCode::failure;
}

ExitCode of_code(attn::ErrorCode code) noexcept {
  switch (code) {
    case attn::ErrorCode::invalid_argument:
    case attn::ErrorCode::unknown_name:
    case attn::ErrorCode::unsupported:
      return ExitCode::usage;
    case attn::ErrorCode::no_device:
      return ExitCode::no_device;
    case attn::ErrorCode::invalid_mask:
    case attn::ErrorCode::device:
      return ExitCode::failure;
  }
  return ExitCode::failure;
}

}  // namespace

ExitCode exit_code_of(const std::exception& error) noexcept {
  if (dynamic_cast<const UsageError*>(&error) != nullptr) return ExitCode::usage;
  if (const auto* e = dynamic_cast<const reorder::Error*>(&error)) return of_code(e->code());
  if (const auto* e = dynamic_cast<const attn::Error*>(&error)) return of_code(e->code());
  return ExitCode::failure;
}

}  // namespace experiments

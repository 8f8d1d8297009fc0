// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "experiments/exit_code.hpp"

namespace experiments {

/// The program blockfill: parses the command line and runs one command. Results go to stdout, with
/// --json as JSON and nothing else; progress and errors go to stderr, an error as one sentence.
[[nodiscard]] ExitCode run_program(int argc, char** argv);

}  // namespace experiments

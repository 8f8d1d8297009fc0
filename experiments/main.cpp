// SPDX-License-Identifier: Apache-2.0
#include "experiments/cli/app.hpp"

int main(int argc, char** argv) {
  return static_cast<int>(experiments::run_program(argc, argv));
}

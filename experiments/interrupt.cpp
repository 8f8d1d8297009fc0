// SPDX-License-Identifier: Apache-2.0
#include "experiments/interrupt.hpp"

#include <csignal>

namespace experiments {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;

extern "C" void note_interrupt(int) {
  g_interrupted = 1;
}

void install(void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  g_interrupted = 0;
  // SA_RESETHAND: the second signal finds the default action.
  install(note_interrupt, static_cast<int>(SA_RESETHAND) | SA_RESTART);
}

InterruptGuard::~InterruptGuard() {
  install(SIG_DFL, 0);
}

bool InterruptGuard::interrupted() const noexcept {
  return g_interrupted != 0;
}

}  // namespace experiments

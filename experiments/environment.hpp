// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "experiments/fields.hpp"

namespace experiments {

/// Where a record was measured.
struct Environment {
  std::string cpu;       ///< "AMD EPYC 9554 64-Core Processor"
  std::string isa;       ///< widest vector extension that the CPU offers, "avx512"
  int cpus = 0;          ///< that this process may use
  std::string gpu;       ///< the device of a device backend, or ""
  std::string os;        ///< "Linux 6.1.0"
  std::string compiler;  ///< "GNU 12.2.0"
  std::string build_type;
  std::string version;  ///< of BlockFill
  std::string commit;   ///< of the sources when they were configured, "-dirty" when edited
};

template <class T, class Visit>
requires Is<T, Environment>
void fields(T& e, Visit&& visit) {
  visit("cpu", e.cpu);
  visit("isa", e.isa);
  visit("cpus", e.cpus);
  visit("gpu", e.gpu);
  visit("os", e.os);
  visit("compiler", e.compiler);
  visit("build_type", e.build_type);
  visit("version", e.version);
  visit("commit", e.commit);
}

/// Of this process; `gpu` is left empty, for only a device backend uses one.
[[nodiscard]] const Environment& environment();

/// The CPUs that this process may use: what --threads 0 means.
[[nodiscard]] int usable_cpus();

/// The time now in UTC, "2026-11-24T11:45:00Z".
[[nodiscard]] std::string now_utc();

}  // namespace experiments

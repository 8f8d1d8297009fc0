// SPDX-License-Identifier: Apache-2.0
#include "experiments/environment.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <thread>

#include "experiments/build_info.hpp"

namespace experiments {
namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    // x86 says "model name", some Arm kernels "Model".
    if (line.starts_with("model name") || line.starts_with("Model")) {
      const auto colon = line.find(':');
      if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
    }
  }
  return "unknown";
}

std::string vector_extension() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return "avx512";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2";
  if (__builtin_cpu_supports("sse4.2")) return "sse4.2";
  return "sse2";
#elif defined(__aarch64__)
  return "neon";
#else
  return "unknown";
#endif
}

std::string os_name() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + " " + name.release;
}

}  // namespace

int usable_cpus() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

const Environment& environment() {
  static const Environment here{.cpu = cpu_name(),
                                .isa = vector_extension(),
                                .cpus = usable_cpus(),
                                .gpu = "",
                                .os = os_name(),
                                .compiler = build_info::kCompiler,
                                .build_type = build_info::kBuildType,
                                .version = build_info::kVersion,
                                .commit = build_info::kCommit};
  return here;
}

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "attn/backend.hpp"
#include "experiments/build_info.hpp"
#include "experiments/cli/command.hpp"
#include "experiments/cli/report.hpp"
#include "experiments/environment.hpp"
#include "experiments/gpu.hpp"
#include "reorder/error.hpp"

namespace experiments {
namespace {

struct DoctorOptions {
  CommonOptions common;
};

struct Library {
  const char* name;
  std::string version;  ///< "" when it was not found at configure time
  const char* package;  ///< of Debian and Ubuntu
  const char* serves;
};

std::vector<Library> libraries() {
  return {{"CLI11", CLI11_VERSION, "libcli11-dev", "this program"},
          {"nlohmann-json",
           std::to_string(NLOHMANN_JSON_VERSION_MAJOR) + "." +
               std::to_string(NLOHMANN_JSON_VERSION_MINOR) + "." +
               std::to_string(NLOHMANN_JSON_VERSION_PATCH),
           "nlohmann-json3-dev", "records and configurations"},
          {"Highway", build_info::kHighwayVersion, "libhwy-dev", "SIMD of the cpu backend"},
          {"SuiteSparse AMD", build_info::kAmdVersion, "libsuitesparse-dev", "strategy amd"},
          {"METIS", build_info::kMetisVersion, "libmetis-dev", "strategies metis_*"},
          {"Boost", build_info::kBoostVersion, "libboost-dev", "strategy rcm_boost"},
          {"zlib", build_info::kZlibVersion, "zlib1g-dev", ".mtx.gz and .npz"},
          {"Eigen", build_info::kEigenVersion, "libeigen3-dev", "micro-benchmarks"}};
}

/// What to do, one sentence each.
std::vector<std::string> advice(const reorder::Registry& registry,
                                const std::string& plugin_error) {
  std::vector<std::string> sentences;
  if (!plugin_error.empty()) sentences.push_back("plugins were left out: " + plugin_error);
  for (const auto& library : libraries()) {
    if (library.version.empty()) {
      sentences.push_back(std::string("apt-get install ") + library.package +
                          " and build again for " + library.serves);
    }
  }
  for (const auto& strategy : registry.strategies()) {
    const auto& info = strategy->info();
    if (!info.unavailable.empty()) {
      sentences.push_back("strategy " + info.name + " cannot run: " + info.unavailable);
    }
  }
  if (const auto gpu = find_gpu(); gpu && gpu->compute_capability == "9.0" &&
                                   !attn::backend("hopper").info().unavailable.empty()) {
    sentences.push_back("a Hopper GPU is here: build with `cmake --preset hopper`");
  }
  if (std::string(build_info::kBuildType) == "Debug") {
    sentences.emplace_back("this is a Debug build: its times mean nothing");
  }
  return sentences;
}

ExitCode doctor(const DoctorOptions& options) {
  auto registry = reorder::Registry::with_builtins();
  std::string plugin_error;
  try {
    registry = options.common.registry();
  } catch (const reorder::Error& error) {
    plugin_error = error.what();  // a thing to report, not to end with
  }
  const Environment& here = environment();
  const auto gpu = find_gpu();
  const auto todo = advice(registry, plugin_error);
  if (options.common.json) {
    Json json{{"environment", encode(here)},
              {"threads", options.common.thread_count()},
              {"libraries", Json::object()},
              {"backends", Json::array()},
              {"gpu", nullptr},
              {"advice", todo}};
    for (const auto& l : libraries()) {
      json["libraries"][l.name] = l.version.empty() ? Json(nullptr) : Json(l.version);
    }
    for (const auto* backend : attn::backends()) {
      const auto& info = backend->info();
      json["backends"].push_back({{"name", info.name},
                                  {"summary", info.summary},
                                  {"available", info.unavailable.empty()},
                                  {"unavailable", info.unavailable}});
    }
    if (gpu) {
      json["gpu"] = {{"name", gpu->name},
                     {"compute_capability", gpu->compute_capability},
                     {"driver_cuda", gpu->driver_cuda}};
    }
    print_json(json);
    return ExitCode::ok;
  }
  std::cout << "machine\n"
            << labelled("CPU", here.cpu + ", " + here.isa + ", " + std::to_string(here.cpus) +
                                   (here.cpus == 1 ? " thread" : " threads"))
            << labelled("GPU", gpu ? gpu->name + ", compute capability " + gpu->compute_capability +
                                         ", driver for CUDA " + gpu->driver_cuda
                                   : "no NVIDIA driver or device")
            << labelled("system", here.os) << "build\n"
            << labelled("version", here.version + " (" + here.commit + ")")
            << labelled("compiler", here.compiler + ", " + here.build_type) << "libraries\n";
  for (const auto& l : libraries()) {
    std::cout << labelled(l.name, (l.version.empty() ? "not found" : l.version) + " – " + l.serves);
  }
  std::cout << "backends\n";
  for (const auto* backend : attn::backends()) {
    const auto& info = backend->info();
    std::cout << labelled(info.name, info.unavailable.empty()
                                         ? "ready – " + info.summary
                                         : "not available: " + info.unavailable);
  }
  std::cout << (todo.empty() ? "nothing to do\n" : "to do\n");
  for (const auto& sentence : todo) std::cout << "  " << sentence << '\n';
  return ExitCode::ok;
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  add_command<DoctorOptions>(app, action, "doctor",
                             "Say what this machine and this build can run, and what is missing",
                             doctor, [](CLI::App&, DoctorOptions&) {});
}

}  // namespace experiments

// SPDX-License-Identifier: Apache-2.0
#include "experiments/gpu.hpp"

#include <dlfcn.h>

#include <array>

namespace experiments {
namespace {

// The CUDA driver interface, as far as these questions need it; success is 0.
using Init = int (*)(unsigned);
using DriverGetVersion = int (*)(int*);
using DeviceGet = int (*)(int*, int);
using DeviceGetName = int (*)(char*, int, int);
using DeviceGetAttribute = int (*)(int*, int, int);
constexpr int kComputeCapabilityMajor = 75;
constexpr int kComputeCapabilityMinor = 76;

template <class Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(::dlsym(library, name));
}

std::optional<Gpu> ask(void* driver) {
  const auto init = symbol<Init>(driver, "cuInit");
  const auto version = symbol<DriverGetVersion>(driver, "cuDriverGetVersion");
  const auto get = symbol<DeviceGet>(driver, "cuDeviceGet");
  const auto name = symbol<DeviceGetName>(driver, "cuDeviceGetName");
  const auto attribute = symbol<DeviceGetAttribute>(driver, "cuDeviceGetAttribute");
  if (!init || !version || !get || !name || !attribute || init(0) != 0) return {};
  int device = 0;
  int cuda = 0;
  int major = 0;
  int minor = 0;
  std::array<char, 256> text{};
  const bool answered = get(&device, 0) == 0 && version(&cuda) == 0 &&
                        name(text.data(), static_cast<int>(text.size()), device) == 0 &&
                        attribute(&major, kComputeCapabilityMajor, device) == 0 &&
                        attribute(&minor, kComputeCapabilityMinor, device) == 0;
  if (!answered) return {};
  return Gpu{text.data(), std::to_string(major) + "." + std::to_string(minor),
             std::to_string(cuda / 1000) + "." + std::to_string(cuda % 1000 / 10)};
}

}  // namespace

std::optional<Gpu> find_gpu() {
  // The handle stays open: a driver is not made to be unloaded.
  static const std::optional<Gpu> gpu = []() -> std::optional<Gpu> {
    void* driver = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return driver ? ask(driver) : std::nullopt;
  }();
  return gpu;
}

}  // namespace experiments

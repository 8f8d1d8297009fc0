// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace experiments {

/// The first NVIDIA GPU, as its driver names it.
struct Gpu {
  std::string name;                ///< "NVIDIA H100 80GB HBM3"
  std::string compute_capability;  ///< "9.0"
  std::string driver_cuda;         ///< newest CUDA that the driver runs, "13.0"
};

/// Asks the driver, which is loaded when it is there and never linked. Nothing without a driver or
/// a device.
[[nodiscard]] std::optional<Gpu> find_gpu();

}  // namespace experiments

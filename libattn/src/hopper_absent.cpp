// SPDX-License-Identifier: Apache-2.0
//
// The entry `hopper` of a build without CUDA: it says why it cannot run. src/cuda/ takes its place
// with -DBLOCKFILL_CUDA=ON.
#include "attn/device_block_mask.hpp"
#include "attn/error.hpp"
#include "backends.hpp"

namespace attn {
namespace {

class AbsentHopper final : public Backend {
 public:
  const BackendInfo& info() const override { return info_; }

  std::optional<std::string> supports(const ForwardArgs&, const BlockMask&) const override {
    return sentence();
  }
  std::optional<std::string> supports(const BackwardArgs&, const BlockMask&) const override {
    return sentence();
  }

  std::unique_ptr<Plan> prepare(const BlockMask&, const PrepareOptions&) const override {
    throw Error(ErrorCode::no_device, sentence());
  }

 private:
  [[nodiscard]] std::string sentence() const {
    return "backend hopper cannot run: " + info_.unavailable;
  }

  BackendInfo info_{
      .name = "hopper",
      .summary = "NVIDIA Hopper tensor cores (sm_90a); masks from the host or built there",
      .unavailable = "built without CUDA",
      .device_memory = true};
};

}  // namespace

const Backend& hopper_backend() {
  static const AbsentHopper instance;
  return instance;
}

class DeviceBlockMask::Builder {};

DeviceBlockMask::DeviceBlockMask() {
  throw Error(ErrorCode::no_device,
              "a mask cannot be built on a device: " + hopper_backend().info().unavailable);
}
DeviceBlockMask::~DeviceBlockMask() = default;
DeviceBlockMask::DeviceBlockMask(DeviceBlockMask&&) noexcept = default;
DeviceBlockMask& DeviceBlockMask::operator=(DeviceBlockMask&&) noexcept = default;

// No object exists to call these on.
void DeviceBlockMask::build(const DensePattern&, void*) {}
void DeviceBlockMask::build(const CsrPattern&, void*) {}
void DeviceBlockMask::build(const CooPattern&, void*) {}
void DeviceBlockMask::build(std::span<const DensePattern>, std::int32_t, std::int32_t, void*) {}
void DeviceBlockMask::build(std::span<const CsrPattern>, std::int32_t, std::int32_t, void*) {}
std::int32_t DeviceBlockMask::n_q() const noexcept {
  return 0;
}
std::int32_t DeviceBlockMask::n_k() const noexcept {
  return 0;
}
std::int32_t DeviceBlockMask::batch() const noexcept {
  return 1;
}
std::int32_t DeviceBlockMask::heads() const noexcept {
  return 1;
}
std::int64_t DeviceBlockMask::visited_strips() const noexcept {
  return 0;
}
std::int64_t DeviceBlockMask::stored_strips() const noexcept {
  return 0;
}
std::size_t DeviceBlockMask::bytes() const noexcept {
  return 0;
}
std::shared_ptr<const hopper::PreparedMask> DeviceBlockMask::prepared() const {
  return nullptr;
}

}  // namespace attn

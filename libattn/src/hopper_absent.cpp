// SPDX-License-Identifier: Apache-2.0
//
// The entry `hopper` of a build without CUDA: it says why it cannot run. src/cuda/ takes its place
// with -DBLOCKFILL_CUDA=ON.
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

  BackendInfo info_{.name = "hopper",
                    .summary = "NVIDIA Hopper tensor cores (sm_90a)",
                    .unavailable = "built without CUDA",
                    .device_memory = true};
};

}  // namespace

const Backend& hopper_backend() {
  static const AbsentHopper instance;
  return instance;
}

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "attn/attention.hpp"
#include "attn/device_block_mask.hpp"
#include "attn/error.hpp"
#include "backends.hpp"
#include "cuda/hopper/algorithms.hpp"
#include "cuda/hopper/backward_plan.hpp"
#include "cuda/hopper/device_order.hpp"
#include "cuda/hopper/forward_plan.hpp"
#include "cuda/hopper/kernels.hpp"
#include "cuda/hopper/layout.hpp"
#include "cuda/hopper/prepared_mask.hpp"
#include "cuda/hopper/row_boxes.hpp"
#include "cuda/runtime.hpp"
#include "order.hpp"

namespace attn {
namespace {

using cuda::check;
using cuda::DeviceArray;

class HopperPlan final : public Plan {
 public:
  /// `follows`: the mask may be built again under the plan.
  HopperPlan(std::shared_ptr<const hopper::PreparedMask> mask, bool follows,
             const PrepareOptions& options, int multiprocessors);
  void forward(const ForwardArgs& args) const override;
  void backward(const BackwardArgs& args) const override;
  [[nodiscard]] std::size_t forward_workspace(const ForwardArgs& args) const override;
  [[nodiscard]] std::size_t backward_workspace(const BackwardArgs& args) const override;

 private:
  std::shared_ptr<const hopper::PreparedMask> mask_;
  hopper::DeviceOrder q_order_, kv_order_;
  hopper::ForwardPlan forward_;
  std::optional<hopper::BackwardPlan> backward_;  // when prepared for it
};

class HopperBackend final : public Backend {
 public:
  HopperBackend() {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
      info_.unavailable = "no CUDA device";
      return;
    }
    int device = 0;
    cudaDeviceProp properties{};
    check(cudaGetDevice(&device), "asking for the current device");
    check(cudaGetDeviceProperties(&properties, device), "asking for the device's properties");
    if (properties.major != 9 || properties.minor != 0) {
      info_.unavailable = std::string(properties.name) + " has compute capability " +
                          std::to_string(properties.major) + "." +
                          std::to_string(properties.minor) + ", but 9.0 is needed";
      return;
    }
    multiprocessors_ = properties.multiProcessorCount;
    hopper::prepare_forward_kernels();
    hopper::prepare_backward_kernels();
  }

  const BackendInfo& info() const override { return info_; }

  std::optional<std::string> supports(const ForwardArgs& args,
                                      const BlockMask& mask) const override {
    if (!info_.unavailable.empty()) return cannot_run();
    if (!hopper::can_lay_out(mask.tile())) return tile_sentence(mask.tile());
    return hopper::supports_forward(args);
  }

  std::optional<std::string> supports(const BackwardArgs& args,
                                      const BlockMask& mask) const override {
    if (!info_.unavailable.empty()) return cannot_run();
    if (!hopper::can_lay_out(mask.tile())) return tile_sentence(mask.tile());
    return hopper::supports_backward(args);
  }

  Walk walk(TileShape tile, std::int64_t head_dim) const override {
    Walk walk{tile, tile};
    for (const hopper::Kernel& kernel : hopper::kernels()) {  // the last is for sparse masks
      if (kernel.head_dim != head_dim) continue;
      walk = {{hopper::kQuadrant, hopper::kQuadrant},
              {kernel.block_m, kernel.block_n},
              kernel.cuts ? hopper::kShortestCut * hopper::kStripKeys : 0,
              multiprocessors_};
    }
    return walk;
  }

  std::int64_t rows_copied(std::span<const std::int32_t> order) const override {
    const hopper::RowBoxes boxes = hopper::find_row_boxes(order);
    return boxes.serve(order.size()) ? std::ssize(boxes.copy) : std::ssize(order);
  }

  std::unique_ptr<Plan> prepare(const BlockMask& mask,
                                const PrepareOptions& options) const override {
    if (!info_.unavailable.empty()) throw Error(ErrorCode::no_device, cannot_run());
    if (!hopper::can_lay_out(mask.tile())) {
      throw Error(ErrorCode::unsupported, tile_sentence(mask.tile()));
    }
    const bool lists = options.algorithm == Algorithm::lists;
    return std::make_unique<HopperPlan>(
        lists
            ? hopper::prepare_on_host(mask, options.threads)
            : hopper::prepare_algorithm(mask, options.algorithm, options.backward, options.threads),
        false, options, multiprocessors_);
  }

  std::unique_ptr<Plan> prepare(const DeviceBlockMask& mask,
                                const PrepareOptions& options) const override {
    if (!info_.unavailable.empty()) throw Error(ErrorCode::no_device, cannot_run());
    if (options.algorithm != Algorithm::lists) {
      throw Error(ErrorCode::unsupported,
                  "a mask built on the device has lists alone, it cannot be walked by the "
                  "algorithm " +
                      std::string(to_string(options.algorithm)));
    }
    return std::make_unique<HopperPlan>(mask.prepared(), true, options, multiprocessors_);
  }

  Buffer allocate(std::size_t bytes) const override {
    if (!info_.unavailable.empty()) throw Error(ErrorCode::no_device, cannot_run());
    void* memory = nullptr;
    check(cudaMalloc(&memory, std::max<std::size_t>(bytes, 1)), "allocating device memory");
    return {memory, [](void* pointer) { cudaFree(pointer); }};
  }
  void copy_in(void* destination, const void* host_source, std::size_t bytes) const override {
    check(cudaMemcpy(destination, host_source, bytes, cudaMemcpyHostToDevice),
          "copying to the device");
  }
  void copy_out(void* host_destination, const void* source, std::size_t bytes) const override {
    check(cudaMemcpy(host_destination, source, bytes, cudaMemcpyDeviceToHost),
          "copying from the device");
  }

  /// Events around each sample on the default stream, which `work` is expected to use.
  std::vector<double> time(const std::function<void()>& work, int samples) const override {
    if (!info_.unavailable.empty()) throw Error(ErrorCode::no_device, cannot_run());
    std::vector<cudaEvent_t> events(static_cast<std::size_t>(samples) + 1);
    for (cudaEvent_t& event : events) check(cudaEventCreate(&event), "creating an event");
    check(cudaEventRecord(events[0], nullptr), "recording an event");
    for (std::size_t i = 1; i < events.size(); ++i) {
      work();
      check(cudaEventRecord(events[i], nullptr), "recording an event");
    }
    check(cudaDeviceSynchronize(), "running the timed work");
    std::vector<double> seconds;
    for (std::size_t i = 1; i < events.size(); ++i) {
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, events[i - 1], events[i]), "reading an event");
      seconds.push_back(milliseconds * 1e-3);
    }
    for (cudaEvent_t event : events) cudaEventDestroy(event);
    return seconds;
  }

 private:
  [[nodiscard]] std::string cannot_run() const {
    return "backend hopper cannot run: " + info_.unavailable;
  }
  static std::string tile_sentence(TileShape tile) {
    return "backend hopper needs mask tiles whose edges are multiples of 64, but they are " +
           to_string(tile);
  }

  BackendInfo info_{
      .name = "hopper",
      .summary = "NVIDIA Hopper tensor cores (sm_90a); masks from the host or built there",
      .unavailable = "",
      .device_memory = true};
  int multiprocessors_ = 132;  ///< where there is no device, an H100's
};

/// A checked order on the device; nothing for the identity.
hopper::DeviceOrder upload_order(std::span<const std::int32_t> order, std::int32_t n,
                                 const char* name) {
  if (!order.empty()) check_permutation(order, n, name);
  return hopper::DeviceOrder(order);
}

HopperPlan::HopperPlan(std::shared_ptr<const hopper::PreparedMask> mask, bool follows,
                       const PrepareOptions& options, int multiprocessors)
    : mask_(std::move(mask)),
      q_order_(upload_order(options.q_order, mask_->shape.n_q, "q_order")),
      kv_order_(upload_order(options.kv_order, mask_->shape.n_k, "kv_order")),
      forward_(mask_, q_order_, kv_order_, options.kernel_tile, multiprocessors) {
  if (options.backward) {
    // What is measured against the lists keeps the kernels that nearly all masks take by lists.
    const bool best_way =
        options.algorithm == Algorithm::lists || options.algorithm == Algorithm::dense;
    const int passes = best_way || options.backward_passes != 0 ? options.backward_passes : 2;
    backward_.emplace(mask_, follows, passes, q_order_, kv_order_, multiprocessors);
  }
}

void HopperPlan::forward(const ForwardArgs& args) const {
  validate(args, mask_->shape);
  if (const auto sentence = forward_.supports(args)) {
    throw Error(ErrorCode::unsupported, *sentence);
  }
  if (args.workspace != nullptr) {
    check_workspace(args.workspace, args.workspace_bytes, forward_workspace(args));
  }
  forward_.run(args);
}

std::size_t HopperPlan::forward_workspace(const ForwardArgs& args) const {
  return forward_.workspace(args);
}

void HopperPlan::backward(const BackwardArgs& args) const {
  check_prepared(backward_.has_value());
  validate(args, mask_->shape);
  if (const auto sentence = hopper::supports_backward(args)) {
    throw Error(ErrorCode::unsupported, *sentence);
  }
  check_workspace(args.workspace, args.workspace_bytes, backward_workspace(args));
  backward_->run(args);
}

std::size_t HopperPlan::backward_workspace(const BackwardArgs& args) const {
  check_prepared(backward_.has_value());
  return backward_->workspace(args);
}

}  // namespace

const Backend& hopper_backend() {
  static const HopperBackend instance;
  return instance;
}

}  // namespace attn

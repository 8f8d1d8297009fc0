// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
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
#include "cuda/hopper/kernels.hpp"
#include "cuda/hopper/layout.hpp"
#include "cuda/hopper/operands.hpp"
#include "cuda/hopper/prepared_mask.hpp"
#include "cuda/hopper/tensor_map.hpp"
#include "cuda/runtime.hpp"
#include "order.hpp"

namespace attn {
namespace {

using cuda::check;
using cuda::DeviceArray;
using hopper::check_layout;
using hopper::strides_of;

/// Calls of one Plan that may be under way at once, on any streams.
constexpr std::uint32_t kCallsInFlight = 1024;

/// The share of full tiles from which the kernel for full tiles is the faster one, and from which
/// its warpgroups gain by taking turns (H100, head_dim 64: dense 495 against 483 TF/s without
/// turns, window +-128 0.658 against 0.563 ms).
constexpr double kMostlyFull = 0.95;
constexpr double kTakeTurns = 0.99;

/// K and V of the heads that run side by side: what stays in a half of the L2 cache.
constexpr std::int64_t kCacheBytes = 24 << 20;

bool has_kernel(DType dtype, std::int64_t head_dim) {
  return std::any_of(hopper::kernels().begin(), hopper::kernels().end(),
                     [&](const hopper::Kernel& kernel) {
                       return kernel.dtype == dtype && kernel.head_dim == head_dim;
                     });
}

/// The kernel for a mask, of those that sources.cmake lists for a dtype and head_dim: the first
/// where nearly every tile is full, the last for all other masks (figures there).
const hopper::Kernel& choose_kernel(DType dtype, std::int64_t head_dim,
                                    const hopper::PreparedMask& mask) {
  const hopper::Kernel* chosen = nullptr;
  for (const hopper::Kernel& kernel : hopper::kernels()) {
    if (kernel.dtype != dtype || kernel.head_dim != head_dim) continue;
    chosen = &kernel;
    if (mask.full_share(kernel.block_m / hopper::kQuadrant) >= kMostlyFull) break;
  }
  return *chosen;
}

class HopperBackend;

class HopperPlan final : public Plan {
 public:
  /// `follows`: the mask may be built again under the plan.
  HopperPlan(const HopperBackend& backend, std::shared_ptr<const hopper::PreparedMask> mask,
             bool follows, const PrepareOptions& options, int multiprocessors);
  void forward(const ForwardArgs& args) const override;
  void backward(const BackwardArgs& args) const override;
  [[nodiscard]] std::size_t backward_workspace(const BackwardArgs& args) const override;

 private:
  /// Q, K and V as the mask's rows and columns stand, gathered where an order says so. Nothing when
  /// that needs memory while the stream is being captured: then the kernel's loads follow the
  /// orders row by row, which needs none and is several times slower.
  [[nodiscard]] std::optional<std::array<TensorView, 3>> in_mask_order(const ForwardArgs& args,
                                                                       cudaStream_t stream) const;

  const HopperBackend& backend_;
  int multiprocessors_;
  std::shared_ptr<const hopper::PreparedMask> mask_;
  DeviceArray<hopper::Counters> counters_;
  DeviceArray<std::int32_t> q_order_, kv_order_;
  mutable std::atomic<std::uint32_t> calls_{0};
  // Q, K and V in the mask's order, for calls with an order: one place a stream, because calls on
  // one stream follow each other. It is allocated by the first call that needs so much.
  mutable std::mutex workspaces_mutex_;
  mutable std::map<cudaStream_t, DeviceArray<std::byte>> workspaces_;
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
    for (const hopper::Kernel& kernel : hopper::kernels()) {
      check(kernel.prepare(), "raising a kernel's shared-memory limit");
    }
    hopper::prepare_backward_kernels();
  }

  const BackendInfo& info() const override { return info_; }

  std::optional<std::string> supports(const ForwardArgs& args,
                                      const BlockMask& mask) const override {
    if (!info_.unavailable.empty()) return cannot_run();
    if (!hopper::can_lay_out(mask.tile())) return tile_sentence(mask.tile());
    return refusal(args);
  }

  /// Why no kernel can run these tensors, whatever the mask.
  [[nodiscard]] std::optional<std::string> refusal(const ForwardArgs& args) const {
    if (!has_kernel(args.q.dtype, args.q.width())) {
      return "backend hopper has kernels for f16 and bf16 with head_dim 64 and 128, but Q is " +
             std::string(to_string(args.q.dtype)) + " with head_dim " +
             std::to_string(args.q.width());
    }
    for (const auto& [name, tensor] : {std::pair{"Q", args.q}, std::pair{"K", args.k},
                                       std::pair{"V", args.v}, std::pair{"O", args.o}}) {
      if (auto sentence = check_layout(name, tensor)) return sentence;
    }
    return std::nullopt;
  }

  std::optional<std::string> supports(const BackwardArgs& args,
                                      const BlockMask& mask) const override {
    if (!info_.unavailable.empty()) return cannot_run();
    if (!hopper::can_lay_out(mask.tile())) return tile_sentence(mask.tile());
    return hopper::supports_backward(args);
  }

  std::unique_ptr<Plan> prepare(const BlockMask& mask,
                                const PrepareOptions& options) const override {
    if (!info_.unavailable.empty()) throw Error(ErrorCode::no_device, cannot_run());
    if (!hopper::can_lay_out(mask.tile())) {
      throw Error(ErrorCode::unsupported, tile_sentence(mask.tile()));
    }
    const bool lists = options.algorithm == Algorithm::lists;
    if (options.backward && !lists) {
      throw Error(ErrorCode::unsupported,
                  "backend hopper has a backward pass for the algorithm lists alone, not for " +
                      std::string(to_string(options.algorithm)));
    }
    return std::make_unique<HopperPlan>(
        *this,
        lists ? hopper::prepare_on_host(mask, options.threads)
              : hopper::prepare_algorithm(mask, options.algorithm, options.threads),
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
    return std::make_unique<HopperPlan>(*this, mask.prepared(), true, options, multiprocessors_);
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
           std::to_string(tile.block_m) + "x" + std::to_string(tile.block_n);
  }

  BackendInfo info_{
      .name = "hopper",
      .summary = "NVIDIA Hopper tensor cores (sm_90a); masks from the host or built there",
      .unavailable = "",
      .device_memory = true};
  int multiprocessors_ = 0;
};

/// A checked order on the device; nothing for the identity.
DeviceArray<std::int32_t> upload_order(std::span<const std::int32_t> order, std::int32_t n,
                                       const char* name) {
  if (!order.empty()) check_permutation(order, n, name);
  return DeviceArray<std::int32_t>(order);
}

HopperPlan::HopperPlan(const HopperBackend& backend,
                       std::shared_ptr<const hopper::PreparedMask> mask, bool follows,
                       const PrepareOptions& options, int multiprocessors)
    : backend_(backend), multiprocessors_(multiprocessors), mask_(std::move(mask)) {
  counters_ = DeviceArray<hopper::Counters>(std::size_t{kCallsInFlight});
  check(cudaMemset(counters_.data(), 0, kCallsInFlight * sizeof(hopper::Counters)),
        "clearing the counters");
  q_order_ = upload_order(options.q_order, mask_->shape.n_q, "q_order");
  kv_order_ = upload_order(options.kv_order, mask_->shape.n_k, "kv_order");
  if (options.backward) {
    backward_.emplace(mask_, follows, q_order_.data(), kv_order_.data(), multiprocessors_);
  }
}

std::optional<std::array<TensorView, 3>> HopperPlan::in_mask_order(const ForwardArgs& args,
                                                                   cudaStream_t stream) const {
  std::array views{args.q, args.k, args.v};
  const std::array orders{q_order_.data(), kv_order_.data(), kv_order_.data()};
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    if (orders[i] != nullptr) bytes += static_cast<std::size_t>(views[i].elements()) * 2;
  }
  if (bytes == 0) return views;

  std::byte* place = nullptr;
  {
    const std::lock_guard lock(workspaces_mutex_);
    DeviceArray<std::byte>& workspace = workspaces_[stream];
    if (workspace.size() < bytes) {
      cudaStreamCaptureStatus capture{};
      check(cudaStreamIsCapturing(stream, &capture), "asking whether the stream is captured");
      if (capture != cudaStreamCaptureStatusNone) return std::nullopt;
      workspace = DeviceArray<std::byte>(bytes);
    }
    place = workspace.data();
  }
  for (std::size_t i = 0; i < 3; ++i) {
    if (orders[i] == nullptr) continue;
    TensorView& view = views[i];
    const TensorView source = view;
    view = contiguous(place, source.dtype, source.shape);
    place += view.elements() * 2;
    const auto chunks_per_row = static_cast<std::int32_t>(view.width() / 8);
    check(hopper::gather_rows({.source = source.data,
                               .strides = strides_of(source),
                               .order = orders[i],
                               .destination = view.data,
                               .heads = static_cast<std::int32_t>(view.heads()),
                               .rows = static_cast<std::int32_t>(view.rows()),
                               .chunks_per_row = chunks_per_row,
                               .chunks = view.elements() / 8},
                              multiprocessors_, stream),
          "launching a gather");
  }
  return views;
}

void HopperPlan::forward(const ForwardArgs& args) const {
  const MaskShape& shape = mask_->shape;
  validate(args, shape);
  if (const auto sentence = backend_.refusal(args)) {
    throw Error(ErrorCode::unsupported, *sentence);
  }
  if (args.q.elements() == 0) return;
  const hopper::Kernel& kernel = choose_kernel(args.q.dtype, args.q.width(), *mask_);

  hopper::ForwardParams params{};
  params.counters = counters_.data() + calls_.fetch_add(1) % kCallsInFlight;
  params.q = args.q.data;
  params.k = args.k.data;
  params.v = args.v.data;
  params.o = args.o.data;
  params.lse = static_cast<float*>(args.lse.data);
  params.q_strides = strides_of(args.q);
  params.k_strides = strides_of(args.k);
  params.v_strides = strides_of(args.v);
  params.o_strides = strides_of(args.o);
  params.lse_strides = strides_of(args.lse);
  params.batch = static_cast<std::int32_t>(args.q.batch());
  params.heads = static_cast<std::int32_t>(args.q.heads());
  params.group = static_cast<std::int32_t>(args.q.heads() / args.k.heads());
  params.n_q = shape.n_q;
  params.n_k = shape.n_k;
  params.scale = args.scale.value_or(1.0F / std::sqrt(static_cast<float>(args.q.width())));
  params.scale_log2 = params.scale * 1.44269504F;
  params.repeats = (shape.batch == 1 ? params.batch : 1) * (shape.heads == 1 ? params.heads : 1);
  const std::int64_t cache_per_head = 4 * std::int64_t{shape.n_k} * args.q.width();
  params.head_group = static_cast<std::int32_t>(std::clamp<std::int64_t>(
      kCacheBytes / std::max<std::int64_t>(cache_per_head, 1), 1, params.repeats));
  const int groups = kernel.block_m / hopper::kQuadrant;
  params.mask = mask_->device_mask(groups, params.head_group, multiprocessors_);
  params.mask.q_order = q_order_.data();
  params.mask.kv_order = kv_order_.data();
  params.work_count =
      static_cast<std::uint32_t>(params.mask.n_items) * static_cast<std::uint32_t>(params.repeats);
  params.turns = mask_->full_share(groups) >= kTakeTurns;
  // The running maximum is of raw scores: a scale that turns or flattens their order is left to
  // the safe path, which is slow and right.
  if (!(params.scale_log2 >= 1e-30F)) {
    params.redo_all = true;
    params.work_count = 0;
  }
  const auto stream = static_cast<cudaStream_t>(args.stream);
  if (params.work_count != 0) {
    const auto ordered = in_mask_order(args, stream);
    const auto [q, k, v] = ordered.value_or(std::array{args.q, args.k, args.v});
    params.gather_q = !ordered && q_order_.data() != nullptr;
    params.gather_kv = !ordered && kv_order_.data() != nullptr;
    params.q_map = hopper::tensor_map(q, params.gather_q ? 1 : kernel.block_m);
    params.k_map = hopper::tensor_map(k, params.gather_kv ? 1 : hopper::kQuadrant);
    params.v_map = hopper::tensor_map(v, params.gather_kv ? 1 : hopper::kQuadrant);
  }
  if (const auto scan = mask_->scan(groups)) {
    check(hopper::scan_flags(*scan, stream), "launching the scan of flags");
  }
  check(kernel.launch(params, multiprocessors_, stream), "launching the forward kernels");
}

void HopperPlan::backward(const BackwardArgs& args) const {
  check_prepared(backward_.has_value());
  validate(args, mask_->shape);
  if (const auto sentence = hopper::supports_backward(args)) {
    throw Error(ErrorCode::unsupported, *sentence);
  }
  check_workspace(args, backward_workspace(args));
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

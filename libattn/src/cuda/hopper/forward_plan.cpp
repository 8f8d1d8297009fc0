// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/forward_plan.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cuda/hopper/kernels.hpp"
#include "cuda/hopper/operands.hpp"
#include "cuda/hopper/tensor_map.hpp"
#include "cuda/hopper/workspace_pieces.hpp"

namespace attn::hopper {
namespace {

using cuda::check;

/// Calls of one plan that may be under way at once, on any streams.
constexpr std::uint32_t kCallsInFlight = 1024;

/// The share of full tiles from which the kernel for full tiles is the faster one, and from which
/// its warpgroups gain by taking turns (H100, head_dim 64: dense 495 against 483 TF/s without
/// turns, window +-128 0.658 against 0.563 ms).
constexpr double kMostlyFull = 0.95;
constexpr double kTakeTurns = 0.99;

/// K and V of the heads that run side by side: what stays in a half of the L2 cache.
constexpr std::int64_t kCacheBytes = 24 << 20;

bool has_kernel(DType dtype, std::int64_t head_dim) {
  return std::any_of(kernels().begin(), kernels().end(), [&](const Kernel& kernel) {
    return kernel.dtype == dtype && kernel.head_dim == head_dim;
  });
}

/// The kernel for a mask, of those that sources.cmake lists for a dtype and head_dim: the first
/// where nearly every tile is full, the last for all other masks (figures there).
const Kernel& choose_kernel(DType dtype, std::int64_t head_dim, const PreparedMask& mask) {
  const Kernel* chosen = nullptr;
  for (const Kernel& kernel : kernels()) {
    if (kernel.dtype != dtype || kernel.head_dim != head_dim) continue;
    chosen = &kernel;
    if (mask.full_share(kernel.block_m / kQuadrant) >= kMostlyFull) break;
  }
  return *chosen;
}

/// Where one call keeps what in its workspace.
struct Workspace {
  void *q, *k, *v;  ///< in the mask's order; null where it is the caller's
  std::size_t bytes;

  Workspace(void* memory, const ForwardArgs& args, bool orders_q, bool orders_kv) {
    WorkspacePieces pieces(memory);
    const auto copy = [&](const TensorView& tensor, bool ordered) {
      return pieces.take<std::uint16_t>(ordered ? static_cast<std::size_t>(tensor.elements()) : 0);
    };
    q = copy(args.q, orders_q);
    k = copy(args.k, orders_kv);
    v = copy(args.v, orders_kv);
    bytes = pieces.bytes();
  }
};

/// The tensor in the mask's order: itself, or a copy at `place`.
TensorView in_order(const TensorView& tensor, const std::int32_t* order, void* place,
                    int multiprocessors, cudaStream_t stream) {
  if (order == nullptr) return tensor;
  const TensorView copy = contiguous(place, tensor.dtype, tensor.shape);
  check(gather_rows({.source = tensor.data,
                     .strides = strides_of(tensor),
                     .order = order,
                     .destination = place,
                     .heads = static_cast<std::int32_t>(tensor.heads()),
                     .rows = static_cast<std::int32_t>(tensor.rows()),
                     .chunks_per_row = static_cast<std::int32_t>(tensor.width() / 8),
                     .chunks = tensor.elements() / 8},
                    multiprocessors, stream),
        "launching a gather");
  return copy;
}

}  // namespace

void prepare_forward_kernels() {
  for (const Kernel& kernel : kernels()) {
    check(kernel.prepare(), "raising a kernel's shared-memory limit");
  }
}

std::optional<std::string> supports_forward(const ForwardArgs& args) {
  if (!has_kernel(args.q.dtype, args.q.width())) {
    return "backend hopper has kernels for f16 and bf16 with head_dim 64 and 128, but Q is " +
           std::string(to_string(args.q.dtype)) + " with head_dim " +
           std::to_string(args.q.width());
  }
  for (const auto& [name, tensor] :
       {std::pair{"Q", &args.q}, {"K", &args.k}, {"V", &args.v}, {"O", &args.o}}) {
    if (auto sentence = check_layout(name, *tensor)) return sentence;
  }
  return std::nullopt;
}

ForwardPlan::ForwardPlan(std::shared_ptr<const PreparedMask> mask, const std::int32_t* q_order,
                         const std::int32_t* kv_order, int multiprocessors)
    : mask_(std::move(mask)),
      q_order_(q_order),
      kv_order_(kv_order),
      multiprocessors_(multiprocessors),
      counters_(std::size_t{kCallsInFlight}) {
  check(cudaMemset(counters_.data(), 0, kCallsInFlight * sizeof(Counters)),
        "clearing the counters");
}

std::size_t ForwardPlan::workspace(const ForwardArgs& args) const {
  return Workspace(nullptr, args, q_order_ != nullptr, kv_order_ != nullptr).bytes;
}

void* ForwardPlan::own_workspace(cudaStream_t stream, std::size_t bytes) const {
  const std::lock_guard lock(workspaces_mutex_);
  cuda::DeviceArray<std::byte>& own = workspaces_[stream];
  if (own.size() < bytes) {
    cudaStreamCaptureStatus capture{};
    check(cudaStreamIsCapturing(stream, &capture), "asking whether the stream is captured");
    if (capture != cudaStreamCaptureStatusNone) return nullptr;
    own = cuda::DeviceArray<std::byte>(bytes);
  }
  return own.data();
}

void ForwardPlan::run(const ForwardArgs& args) const {
  if (args.q.elements() == 0) return;
  const auto stream = static_cast<cudaStream_t>(args.stream);
  const MaskShape& shape = mask_->shape;
  const Kernel& kernel = choose_kernel(args.q.dtype, args.q.width(), *mask_);

  ForwardParams params{};
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
  const int groups = kernel.block_m / kQuadrant;
  params.mask = mask_->device_mask(groups, params.head_group, multiprocessors_);
  params.mask.q_order = q_order_;
  params.mask.kv_order = kv_order_;
  params.work_count =
      static_cast<std::uint32_t>(params.mask.n_items) * static_cast<std::uint32_t>(params.repeats);
  params.turns = mask_->full_share(groups) >= kTakeTurns;
  // The running maximum is of raw scores: a scale that turns or flattens their order is left to
  // the safe path, which is slow and right.
  if (!(params.scale_log2 >= 1e-30F)) {
    params.redo_all = true;
    params.work_count = 0;
  }
  if (params.work_count != 0) {
    const std::size_t bytes = workspace(args);
    void* memory = args.workspace;
    if (memory == nullptr && bytes != 0) memory = own_workspace(stream, bytes);
    const Workspace work(memory, args, q_order_ != nullptr, kv_order_ != nullptr);
    // Without memory the kernel's loads follow the orders row by row, several times slower.
    params.gather_q = q_order_ != nullptr && memory == nullptr;
    params.gather_kv = kv_order_ != nullptr && memory == nullptr;
    const auto ordered = [&](const TensorView& tensor, const std::int32_t* order, void* place) {
      return in_order(tensor, memory == nullptr ? nullptr : order, place, multiprocessors_, stream);
    };
    params.q_map =
        tensor_map(ordered(args.q, q_order_, work.q), params.gather_q ? 1 : kernel.block_m);
    const int key_rows = params.gather_kv ? 1 : kQuadrant;
    params.k_map = tensor_map(ordered(args.k, kv_order_, work.k), key_rows);
    params.v_map = tensor_map(ordered(args.v, kv_order_, work.v), key_rows);
  }
  if (const auto scan = mask_->scan(groups)) {
    check(scan_flags(*scan, stream), "launching the scan of flags");
  }
  check(kernel.launch(params, multiprocessors_, stream), "launching the forward kernels");
}

}  // namespace attn::hopper

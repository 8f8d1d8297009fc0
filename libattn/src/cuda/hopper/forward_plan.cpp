// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/forward_plan.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "attn/error.hpp"
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

TileShape tile_of(const Kernel& kernel) {
  return {kernel.block_m, kernel.block_n};
}

/// "128x128, 192x64": the tiles of the kernels that `fits` lets pass.
template <class Fits>
std::string tiles_of_kernels(const Fits& fits) {
  std::vector<std::string> tiles;
  for (const Kernel& kernel : kernels()) {
    const std::string tile = to_string(tile_of(kernel));
    if (fits(kernel) && std::find(tiles.begin(), tiles.end(), tile) == tiles.end()) {
      tiles.push_back(tile);
    }
  }
  std::string list;
  for (const std::string& tile : tiles) list += (list.empty() ? "" : ", ") + tile;
  return list;
}

/// (batch, head) pairs that share each mask.
std::int32_t repeats_of(const ForwardArgs& args, const MaskShape& shape) {
  return static_cast<std::int32_t>((shape.batch == 1 ? args.q.batch() : 1) *
                                   (shape.heads == 1 ? args.q.heads() : 1));
}

/// Where one call keeps what in its workspace.
struct Workspace {
  void *q, *k, *v;      ///< rows that are copied; null where none are
  std::uint32_t* done;  ///< GatherPlan's counters, those of Q first
  std::size_t counters;
  PartialRows parts{};
  std::size_t bytes;

  /// `part_rows`: those of all parts of cut rows of tiles.
  Workspace(void* memory, const ForwardArgs& args, const DeviceOrder& q_order,
            const DeviceOrder& kv_order, Rows rows, std::int64_t part_rows) {
    WorkspacePieces pieces(memory);
    const auto copy = [&](const TensorView& tensor, const DeviceOrder& order) -> void* {
      const std::size_t elements = order.copied_elements(tensor);
      return elements == 0 ? nullptr : pieces.take<std::uint16_t>(elements);
    };
    q = copy(args.q, q_order);
    k = copy(args.k, kv_order);
    v = copy(args.v, kv_order);
    const std::int64_t heads = args.q.batch() * (args.q.heads() + args.k.heads());
    counters = rows == Rows::gathered ? static_cast<std::size_t>(heads) : 0;
    done = pieces.take<std::uint32_t>(counters);
    if (part_rows != 0) {
      parts.o = pieces.take<float>(static_cast<std::size_t>(part_rows * args.q.width()));
      parts.lse = pieces.take<float>(static_cast<std::size_t>(part_rows));
    }
    bytes = pieces.bytes();
  }
};

/// What a multiprocessor gathers in a millisecond while the others compute is 37 to 41 MB when 8 to
/// 20 of them do (H200). With more of them than that asks for, the last rows are there before the
/// last items want them: 1.575 ms by 16 and 1.696 by 12 for documents of which 13 keep up.
constexpr double kGatheredBytes = 30e6;

/// How long one works on a tile of 64 * groups x 128, in milliseconds; measured with three groups.
double tile_time(int groups, std::int64_t head_dim) {
  return groups / 3.0 * (0.7e-3 + 1.0e-3 * static_cast<double>(head_dim) / 64);
}

/// Who gathers, and the order of items that goes with it: head by head, heavy items no sooner than
/// their head, and at the end so many heads side by side that no long item begins last.
GatherPlan plan_gather(const Workspace& work, ForwardParams& p, const PreparedMask& mask,
                       int groups, std::int64_t head_dim, int multiprocessors) {
  const auto key_heads = static_cast<double>(p.batch) * p.heads / p.group;
  const double rows = (work.q != nullptr ? key_heads * p.group * p.n_q : 0.0) +
                      (work.k != nullptr ? 2 * key_heads * p.n_k : 0.0);
  GatherPlan plan{.q = work.q,
                  .k = work.k,
                  .v = work.v,
                  .q_done = work.done,
                  .kv_done = work.done + std::int64_t{p.batch} * p.heads,
                  .first_units = 1,
                  .ctas = multiprocessors};
  if (p.mask.batch != 1 || p.mask.heads != 1) {
    // Items come by length, of any head.
    plan.first_units = static_cast<std::uint32_t>(key_heads);
    return plan;
  }
  const auto tiles = static_cast<double>(mask.visited_tiles(groups));
  const double gather = rows * static_cast<double>(head_dim) * 2 / kGatheredBytes;
  const double compute = tiles * p.repeats * tile_time(groups, head_dim);
  const double longest = mask.longest_item(groups, p.cuts);
  plan.ctas = std::clamp(static_cast<int>(std::ceil(multiprocessors * gather / (gather + compute))),
                         1, multiprocessors);
  p.head_group = 1;
  // So many heads take all the others about as long as one the longest item.
  p.last_group = static_cast<std::int32_t>(
      std::min<double>(p.repeats, std::ceil(1.25 * longest * multiprocessors / tiles)));
  p.mask.heavy_items = 0;
  return plan;
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

ForwardPlan::ForwardPlan(std::shared_ptr<const PreparedMask> mask, const DeviceOrder& q_order,
                         const DeviceOrder& kv_order, std::optional<TileShape> kernel_tile,
                         int multiprocessors)
    : mask_(std::move(mask)),
      q_order_(q_order),
      kv_order_(kv_order),
      rows_(q_order.in_place() || kv_order.in_place() ? Rows::in_boxes
            : q_order.exists() || kv_order.exists()   ? Rows::gathered
                                                      : Rows::stand),
      kernel_tile_(kernel_tile),
      multiprocessors_(multiprocessors),
      counters_(std::size_t{kCallsInFlight}) {
  check(cudaMemset(counters_.data(), 0, kCallsInFlight * sizeof(Counters)),
        "clearing the counters");
  const auto computes_in_it = [&](const Kernel& kernel) { return tile_of(kernel) == *kernel_tile; };
  if (kernel_tile && std::none_of(kernels().begin(), kernels().end(), computes_in_it)) {
    throw Error(ErrorCode::unsupported, "backend hopper has no kernel for tiles of " +
                                            to_string(*kernel_tile) + ", only for " +
                                            tiles_of_kernels([](const Kernel&) { return true; }));
  }
}

std::optional<std::string> ForwardPlan::supports(const ForwardArgs& args) const {
  if (auto sentence = supports_forward(args)) return sentence;
  const bool gathered = rows_ == Rows::gathered;
  const DType dtype = args.q.dtype;
  const std::int64_t head_dim = args.q.width();
  if (choose_kernel(dtype, head_dim) != nullptr) return std::nullopt;
  return "backend hopper has no kernel for tiles of " + to_string(*kernel_tile_) + " with " +
         std::string(to_string(dtype)) + ", head_dim " + std::to_string(head_dim) +
         (gathered ? " and orders in the call" : "") + ", only for " +
         tiles_of_kernels([&](const Kernel& kernel) {
           return kernel.dtype == dtype && kernel.head_dim == head_dim &&
                  (kernel.gathers || !gathered);
         });
}

std::size_t ForwardPlan::workspace(const ForwardArgs& args) const {
  return Workspace(nullptr, args, q_order_, kv_order_, rows_, part_rows(args)).bytes;
}

const Kernel* ForwardPlan::choose_kernel(DType dtype, std::int64_t head_dim) const {
  const Kernel* chosen = nullptr;
  for (const Kernel& kernel : kernels()) {
    if (kernel.dtype != dtype || kernel.head_dim != head_dim) continue;
    if (rows_ == Rows::gathered && !kernel.gathers) continue;
    if (kernel_tile_ && *kernel_tile_ != tile_of(kernel)) continue;
    chosen = &kernel;
    const int groups = kernel.block_m / kQuadrant;
    const bool wants_cuts =
        rows_ != Rows::in_boxes && mask_->cuts(groups, multiprocessors_).items[0] != 0;
    if (mask_->full_share(groups) >= kMostlyFull && (kernel.cuts || !wants_cuts)) break;
  }
  return chosen;
}

Cuts ForwardPlan::cuts_for(const Kernel& kernel) const {
  if (!kernel.cuts || rows_ == Rows::in_boxes) return {};
  return mask_->cuts(kernel.block_m / kQuadrant, multiprocessors_);
}

std::int64_t ForwardPlan::part_rows(const ForwardArgs& args) const {
  const Kernel* const kernel = choose_kernel(args.q.dtype, args.q.width());
  if (kernel == nullptr) return 0;
  const Cuts cuts = cuts_for(*kernel);
  return std::int64_t{first_place(cuts, cuts.items[0])} * repeats_of(args, mask_->shape) *
         kernel->block_m;
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
  const Kernel& kernel = *choose_kernel(args.q.dtype, args.q.width());

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
  params.repeats = repeats_of(args, shape);
  const std::int64_t cache_per_head = 4 * std::int64_t{shape.n_k} * args.q.width();
  params.head_group = static_cast<std::int32_t>(std::clamp<std::int64_t>(
      kCacheBytes / std::max<std::int64_t>(cache_per_head, 1), 1, params.repeats));
  // The running maximum is of raw scores: a scale that turns or flattens their order is left to
  // the safe path, which is slow and right.
  params.redo_all = !(params.scale_log2 >= 1e-30F);
  const std::size_t bytes = params.redo_all ? 0 : workspace(args);
  void* memory = args.workspace;
  if (memory == nullptr && bytes != 0) memory = own_workspace(stream, bytes);
  const bool has_memory = memory != nullptr || bytes == 0;
  const int groups = kernel.block_m / kQuadrant;
  if (has_memory && !params.redo_all) params.cuts = cuts_for(kernel);
  params.mask = mask_->device_mask(groups, params.head_group, multiprocessors_, params.cuts);
  params.mask.q_order = q_order_.data();
  params.mask.kv_order = kv_order_.data();
  params.turns = mask_->full_share(groups) >= kTakeTurns;
  if (!params.redo_all) {
    params.work_count = static_cast<std::uint32_t>(params.mask.n_items) *
                        static_cast<std::uint32_t>(params.repeats);
  }
  if (params.work_count != 0) {
    const Workspace work(memory, args, q_order_, kv_order_, rows_, part_rows(args));
    params.parts = work.parts;
    if (has_memory && rows_ == Rows::gathered) {
      params.gather = plan_gather(work, params, *mask_, groups, args.q.width(), multiprocessors_);
      check(cudaMemsetAsync(work.done, 0, work.counters * sizeof(std::uint32_t), stream),
            "clearing the counters of gathered rows");
    }
    if (has_memory && rows_ == Rows::in_boxes) {
      params.q_rows = q_order_.rows();
      params.kv_rows = kv_order_.rows();
      check(copy_rows({.tensors = {q_order_.copy(args.q, work.q), kv_order_.copy(args.k, work.k),
                                   kv_order_.copy(args.v, work.v)},
                       .head_dim = static_cast<std::int32_t>(args.q.width())},
                      multiprocessors_, stream),
            "launching the copies of rows");
    }
    // Without memory the kernel's loads follow the orders row by row, several times slower.
    params.gather_q = q_order_.exists() && !has_memory;
    params.gather_kv = kv_order_.exists() && !has_memory;
    const auto describe = [&](const TensorView& tensor, const DeviceOrder& order, void* place,
                              int box_rows, CUtensorMap& map, OrderedTensor& boxes) {
      if (order.exists() && !has_memory) {
        map = tensor_map(tensor, 1);
      } else if (order.in_place()) {
        boxes = order.maps(tensor, place);
      } else {
        map = tensor_map(order.exists() ? order.copies(tensor, place) : tensor, box_rows);
      }
    };
    describe(args.q, q_order_, work.q, kernel.block_m, params.q_map, params.q_boxes);
    describe(args.k, kv_order_, work.k, kQuadrant, params.k_map, params.k_boxes);
    describe(args.v, kv_order_, work.v, kQuadrant, params.v_map, params.v_boxes);
  }
  mask_->scan(groups, false, stream);
  check(kernel.launch(params, multiprocessors_, stream), "launching the forward kernels");
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/backward_plan.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "cuda/hopper/backward_kernels.hpp"
#include "cuda/hopper/kernels.hpp"
#include "cuda/hopper/operands.hpp"
#include "cuda/hopper/tensor_map.hpp"
#include "cuda/hopper/workspace_pieces.hpp"

namespace attn::hopper {
namespace {

using cuda::check;

/// What streams past the heads that run side by side stays in a half of the L2 cache.
constexpr std::int64_t kCacheBytes = 24 << 20;

/// Products of a visited tile of kBackwardRows queries, and of a visited strip.
constexpr std::int64_t kRowProducts = 3 * 4;
constexpr std::int64_t kKeyProducts = 4 * 2;

/// Ordered additions to the same sums are about as far apart as two steps.
constexpr std::int64_t kAdditionSteps = 2;

/// One pass saves two of seven products, and pays for a trip of every dQ through memory. It takes
/// masks whose average key tile visits at least so many strips (one H200, bf16, B = 4, N = 16384,
/// 2048 / head_dim heads; ms):
///
///                              head_dim 128                        head_dim 64
///     strips a key tile        two passes  ordered  unordered      two passes  ordered  unordered
///     dense       256               45.75    41.45      39.88           58.15    52.69      49.87
///     causal      129               24.07    21.45      20.22           29.67    28.86      25.77
///     documents    18                3.59     4.00       3.86            4.97     4.91       4.66
constexpr std::int64_t kOnePassStrips = 32;

/// Ordered, the items of one head wait for each other once, about two steps each. So many strips in
/// the average key tiles of all heads together hide that.
constexpr std::int64_t kOrderedStrips = 4096;

const BackwardKernel* find_kernel(const TensorView& q) {
  for (const BackwardKernel& kernel : backward_kernels()) {
    if (kernel.dtype == q.dtype && kernel.head_dim == q.width()) return &kernel;
  }
  return nullptr;
}

template <class T>
std::vector<T> download(const T* device, std::size_t count) {
  std::vector<T> host(count);
  if (count == 0) return host;
  check(cudaMemcpy(host.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost),
        "copying a list from the device");
  return host;
}

/// Where one call keeps what in its workspace.
struct Workspace {
  BackwardState* state;
  float* lse_log2;
  float* delta;
  float* dq_sums;
  std::uint32_t* dq_turns;
  void *q, *d_o, *k, *v;  ///< rows that are copied
  std::size_t bytes;

  Workspace(void* memory, const BackwardArgs& args, std::int64_t padded_q, std::int64_t dq_places,
            const DeviceOrder& q_order, const DeviceOrder& kv_order) {
    WorkspacePieces pieces(memory);
    const auto stats = static_cast<std::size_t>(args.q.batch() * args.q.heads() * padded_q);
    state = pieces.take<BackwardState>(1);
    lse_log2 = pieces.take<float>(stats);
    delta = pieces.take<float>(stats);
    const auto places = static_cast<std::size_t>(dq_places);
    dq_sums = pieces.take<float>(places * kQuadrant * static_cast<std::size_t>(args.q.width()));
    dq_turns = pieces.take<std::uint32_t>(places);
    const auto copy = [&](const TensorView& tensor, const DeviceOrder& order) {
      return pieces.take<std::uint16_t>(order.copied_elements(tensor));
    };
    q = copy(args.q, q_order);
    d_o = copy(args.d_o, q_order);
    k = copy(args.k, kv_order);
    v = copy(args.v, kv_order);
    bytes = pieces.bytes();
  }
};

/// Queries, up to whole tiles.
std::int64_t padded_rows(const BackwardArgs& args) {
  return (args.q.rows() + kBackwardRows - 1) / kBackwardRows * kBackwardRows;
}

/// A tensor that is read in the mask's order.
struct Read {
  const TensorView& tensor;
  const DeviceOrder& order;
  void* copies;

  [[nodiscard]] GatherParams gather() const { return order.gather(tensor, copies); }

  void describe(CUtensorMap& map, OrderedTensor& boxes, const void*& data, Strides& strides) const {
    data = tensor.data;
    strides = strides_of(tensor);
    if (tensor.elements() == 0) return;
    if (order.in_place()) {
      boxes = order.maps(tensor, copies);
    } else {
      map = row_map(order.exists() ? order.copies(tensor, copies) : tensor, kQuadrant);
    }
  }
};

}  // namespace

void prepare_backward_kernels() {
  for (const BackwardKernel& kernel : backward_kernels()) {
    check(kernel.prepare(), "raising a backward kernel's shared-memory limit");
  }
}

std::optional<std::string> supports_backward(const BackwardArgs& args) {
  if (find_kernel(args.q) == nullptr) {
    return "backend hopper has backward kernels for f16 and bf16 with head_dim 64 and 128, but Q "
           "is " +
           std::string(to_string(args.q.dtype)) + " with head_dim " +
           std::to_string(args.q.width());
  }
  for (const auto& [name, tensor] : {std::pair{"Q", &args.q},
                                     {"K", &args.k},
                                     {"V", &args.v},
                                     {"O", &args.o},
                                     {"dO", &args.d_o},
                                     {"dQ", &args.dq},
                                     {"dK", &args.dk},
                                     {"dV", &args.dv}}) {
    if (auto sentence = check_layout(name, *tensor)) return sentence;
  }
  return std::nullopt;
}

BackwardPlan::BackwardPlan(std::shared_ptr<const PreparedMask> mask, bool follows, int passes,
                           const DeviceOrder& q_order, const DeviceOrder& kv_order,
                           int multiprocessors)
    : mask_(std::move(mask)),
      passes_(passes),
      q_order_(q_order),
      kv_order_(kv_order),
      multiprocessors_(multiprocessors) {
  if (passes < 0 || passes > 2) {
    throw Error(ErrorCode::invalid_argument,
                "gradients are made in 1 or 2 passes (0: the backend chooses), not in " +
                    std::to_string(passes));
  }
  const MaskShape& shape = mask_->shape;
  const auto masks = static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.heads);
  const std::int32_t row_tiles = (shape.n_q + kBackwardRows - 1) / kBackwardRows;
  const std::int32_t key_tiles = (shape.n_k + kStripKeys - 1) / kStripKeys;
  std::vector<std::int64_t> row_lengths(masks * static_cast<std::size_t>(row_tiles));
  std::vector<std::int64_t> key_lengths(masks * static_cast<std::size_t>(key_tiles));
  std::vector<std::int32_t> offsets;
  if (!follows) {
    mask_->scan(kBackwardRows / kQuadrant, true,
                nullptr);  // else some algorithms have no lists yet
    const auto tiles = download(rows().rows, row_lengths.size());
    std::transform(tiles.begin(), tiles.end(), row_lengths.begin(),
                   [](const WorkItem& row) { return kRowProducts * row.n_tiles; });
    offsets = download(mask_->column_offsets.data(), key_lengths.size() + 1);
    for (std::size_t c = 0; c < key_lengths.size(); ++c) {
      key_lengths[c] = kKeyProducts * (offsets[c + 1] - offsets[c]);
    }
  }
  row_items_ = sort_items(row_lengths, row_tiles);
  key_items_ = sort_items(key_lengths, key_tiles);
  if (!follows && passes_ != 2) rank_strips(offsets);
}

void BackwardPlan::rank_strips(const std::vector<std::int32_t>& offsets) {
  const auto strips = download(mask_->by_column.data(), static_cast<std::size_t>(offsets.back()));
  std::vector<std::uint32_t> ranks(strips.size());
  const MaskShape& shape = mask_->shape;
  const auto blocks = static_cast<std::size_t>(mask_->row_blocks);
  const auto heads = static_cast<std::size_t>(shape.heads);
  std::vector<std::uint32_t> visits(static_cast<std::size_t>(shape.batch) * heads * blocks);
  for (const BackwardItem& place : key_items_.places) {
    for (std::size_t h = 0; h < heads; ++h) {
      const std::size_t mask = static_cast<std::size_t>(place.batch) * heads + h;
      const std::size_t column =
          mask * static_cast<std::size_t>(mask_->key_tiles) + static_cast<std::size_t>(place.tile);
      for (auto s = static_cast<std::size_t>(offsets[column]);
           s < static_cast<std::size_t>(offsets[column + 1]); ++s) {
        const std::uint32_t block = strips[s].block & ((1U << kKeyTileBits) - 1);
        ranks[s] = visits[mask * blocks + block]++;
      }
    }
  }
  ranks_ = cuda::DeviceArray<std::uint32_t>(std::span<const std::uint32_t>(ranks));
}

bool BackwardPlan::one_pass(const BackwardArgs& args) const {
  if (ranks_.size() == 0 || q_order_.in_place() || kv_order_.in_place()) return false;
  if (passes_ != 0) return passes_ == 1;
  const std::int64_t mean =
      static_cast<std::int64_t>(ranks_.size() / key_items_.lengths.size()) / mask_->shape.heads;
  return mean >= kOnePassStrips &&
         (!args.deterministic || mean * args.q.batch() * args.q.heads() >= kOrderedStrips);
}

std::int64_t BackwardPlan::dq_places(const BackwardArgs& args) const {
  return one_pass(args) ? args.q.batch() * args.q.heads() * mask_->row_blocks : 0;
}

DeviceMask BackwardPlan::rows() const {
  DeviceMask rows = mask_->device_mask(kBackwardRows / kQuadrant, 1, multiprocessors_);
  rows.q_order = q_order_.data();
  rows.kv_order = kv_order_.data();
  return rows;
}

BackwardPlan::Items BackwardPlan::sort_items(const std::vector<std::int64_t>& lengths,
                                             std::int32_t tiles) const {
  struct Item {
    BackwardItem place;
    std::int64_t length;
  };
  std::vector<Item> sorted;
  for (std::int32_t b = 0; b < mask_->shape.batch; ++b) {
    for (std::int32_t t = 0; t < tiles; ++t) {
      Item item{{t, b}, 0};
      for (std::int32_t h = 0; h < mask_->shape.heads; ++h) {
        const std::int64_t mask = std::int64_t{b} * mask_->shape.heads + h;
        item.length += lengths[static_cast<std::size_t>(mask * tiles + t)];
      }
      sorted.push_back(item);
    }
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Item& a, const Item& b) { return a.length > b.length; });
  Items result;
  for (const Item& item : sorted) {
    result.places.push_back(item.place);
    result.lengths.push_back(item.length);
    result.total += item.length;
  }
  result.items = cuda::DeviceArray<BackwardItem>(std::span<const BackwardItem>(result.places));
  return result;
}

BackwardSchedule BackwardPlan::schedule(const BackwardArgs& args) const {
  const std::int64_t kv_heads = args.k.heads();
  const std::int64_t group = args.q.heads() / kv_heads;
  const std::int64_t batch = mask_->shape.batch == 1 ? args.q.batch() : 1;
  // Q, dO, K and V of those heads pass by twice, from the cache the second time.
  const std::int64_t bytes_per_head = 4 * args.q.width() * (args.q.rows() * group + args.k.rows());
  BackwardSchedule s{};
  s.head_group = static_cast<std::int32_t>(
      std::clamp<std::int64_t>(kCacheBytes / std::max<std::int64_t>(bytes_per_head, 1), 1,
                               std::max<std::int64_t>(batch * kv_heads, 1)));
  if (one_pass(args) && key_items_.total != 0) {
    // Additions to the same sums come from items that are drawn one after another; so many heads
    // side by side that they are drawn as far apart as two additions must be.
    const std::int64_t steps = key_items_.total * group / kKeyProducts;
    const std::int64_t apart = kAdditionSteps * multiprocessors_ *
                               static_cast<std::int64_t>(key_items_.lengths.size()) / steps;
    s.head_group = static_cast<std::int32_t>(
        std::clamp<std::int64_t>(apart, s.head_group, std::max<std::int64_t>(batch * kv_heads, 1)));
  }
  // Items that would start in the last group of heads and outlast it run before all others.
  const std::int64_t group_time =
      ((one_pass(args) ? 0 : row_items_.total * group) + key_items_.total) * s.head_group /
      multiprocessors_;
  const auto describe = [&](const Items& items, std::int64_t heads) {
    const auto n_items = static_cast<std::int64_t>(items.lengths.size());
    const std::int64_t mean = n_items == 0 ? 0 : items.total / n_items;
    const std::int64_t limit = std::max(group_time / 2, 2 * mean);
    const auto light = std::partition_point(items.lengths.begin(), items.lengths.end(),
                                            [limit](std::int64_t n) { return n > limit; });
    s.work_count += static_cast<std::uint32_t>(n_items * batch * heads);
    return BackwardItems{.items = items.items.data(),
                         .n_items = static_cast<std::int32_t>(n_items),
                         .heavy_items = static_cast<std::int32_t>(light - items.lengths.begin()),
                         .heads = static_cast<std::int32_t>(heads),
                         .repeats = static_cast<std::int32_t>(batch * heads)};
  };
  if (!one_pass(args)) s.rows = describe(row_items_, args.q.heads());
  s.keys = describe(key_items_, kv_heads);
  return s;
}

std::size_t BackwardPlan::workspace(const BackwardArgs& args) const {
  return Workspace(nullptr, args, padded_rows(args), dq_places(args), q_order_, kv_order_).bytes;
}

void BackwardPlan::run(const BackwardArgs& args) const {
  const auto stream = static_cast<cudaStream_t>(args.stream);
  BackwardParams p{};
  p.mask = rows();
  p.columns = mask_->columns();
  p.batch = static_cast<std::int32_t>(args.q.batch());
  p.heads = static_cast<std::int32_t>(args.q.heads());
  p.group = static_cast<std::int32_t>(args.q.heads() / args.k.heads());
  p.n_q = static_cast<std::int32_t>(args.q.rows());
  p.n_k = static_cast<std::int32_t>(args.k.rows());
  p.padded_q = static_cast<std::int32_t>(padded_rows(args));
  p.scale = args.scale.value_or(1.0F / std::sqrt(static_cast<float>(args.q.width())));
  p.scale_log2 = p.scale * 1.44269504F;

  const Workspace work(args.workspace, args, p.padded_q, dq_places(args), q_order_, kv_order_);
  if (one_pass(args)) {
    p.dq_sums = {work.dq_sums, work.dq_turns, ranks_.data(), mask_->row_blocks, args.deterministic};
    if (!args.deterministic) {
      check(cudaMemsetAsync(work.dq_sums, 0,
                            static_cast<std::size_t>(dq_places(args) * kQuadrant * args.q.width()) *
                                sizeof(float),
                            stream),
            "clearing the sums of dQ");
    }
  }
  p.state = work.state;
  p.lse_log2 = work.lse_log2;
  p.delta = work.delta;
  p.q_rows = q_order_.rows();
  p.kv_rows = kv_order_.rows();
  const Read q{args.q, q_order_, work.q};
  const Read d_o{args.d_o, q_order_, work.d_o};
  const Read k{args.k, kv_order_, work.k};
  const Read v{args.v, kv_order_, work.v};
  check(gather_rows(std::array{q.gather(), d_o.gather(), k.gather(), v.gather()}, multiprocessors_,
                    stream),
        "launching the copies of rows");
  q.describe(p.q_map, p.q_boxes, p.q, p.q_strides);
  d_o.describe(p.d_o_map, p.d_o_boxes, p.d_o, p.d_o_strides);
  k.describe(p.k_map, p.k_boxes, p.k, p.k_strides);
  v.describe(p.v_map, p.v_boxes, p.v, p.v_strides);

  p.dq = {args.dq.data, strides_of(args.dq), q_order_.data()};
  p.dk = {args.dk.data, strides_of(args.dk), kv_order_.data()};
  p.dv = {args.dv.data, strides_of(args.dv), kv_order_.data()};
  p.o = args.o.data;
  p.o_strides = strides_of(args.o);
  p.lse = static_cast<const float*>(args.lse.data);
  p.lse_strides = strides_of(args.lse);

  p.schedule = schedule(args);
  mask_->scan(kBackwardRows / kQuadrant, true, stream);
  check(find_kernel(args.q)->launch(p, multiprocessors_, stream), "launching the backward kernels");
}

}  // namespace attn::hopper

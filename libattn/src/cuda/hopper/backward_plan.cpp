// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/backward_plan.hpp"

#include <algorithm>
#include <cmath>
#include <ranges>
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

/// Queries, up to whole tiles.
std::int64_t padded_rows(const BackwardArgs& args) {
  return (args.q.rows() + kBackwardRows - 1) / kBackwardRows * kBackwardRows;
}

/// How a kernel loads some heads of a tensor in the mask's order.
void describe(const TensorView& tensor, const DeviceOrder& order, void* copies,
              const PairRange& pairs, CUtensorMap& map, OrderedTensor& boxes) {
  if (tensor.elements() == 0) return;
  const TensorView copied = order.copies(tensor, copies, pairs);
  if (order.in_place()) {
    boxes = order.maps(tensor, copied);
  } else {
    map = row_map(order.exists() ? copied : tensor, kQuadrant);
  }
}

}  // namespace

/// Where the rows of one launch lie that are copied.
struct BackwardPlan::Copied {
  void *q, *d_o, *k, *v;
};

/// Where one call keeps what in its workspace.
struct BackwardPlan::Workspace {
  BackwardState* state;
  float* lse_log2;
  float* delta;
  std::uint32_t* dq_turns;
  float* dq_sums;  ///< of one launch
  std::size_t dq_bytes;
  Copied copied[2];   ///< by launches in turn
  std::size_t bytes;  ///< of all
};

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
  if (!follows && may_take_one_pass(offsets.back())) rank_strips(offsets);
}

bool BackwardPlan::may_take_one_pass(std::int64_t strips) const {
  if (passes_ == 2 || q_order_.in_place() || kv_order_.in_place()) return false;
  return passes_ == 1 || mean_strips(strips) >= kOnePassStrips;
}

std::int64_t BackwardPlan::mean_strips(std::int64_t strips) const {
  const auto key_tiles = static_cast<std::int64_t>(key_items_.lengths.size());
  return strips / std::max<std::int64_t>(key_tiles, 1) / mask_->shape.heads;
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
  if (ranks_.size() == 0) return false;
  if (passes_ == 1 || !args.deterministic) return true;
  const std::int64_t strips = mean_strips(static_cast<std::int64_t>(ranks_.size()));
  return strips * args.q.batch() * args.q.heads() >= kOrderedStrips;
}

PairRange BackwardPlan::kv_pairs(const BackwardArgs& args, std::int64_t first,
                                 std::int64_t width) const {
  return {static_cast<std::int32_t>(first), static_cast<std::int32_t>(width),
          static_cast<std::int32_t>(args.k.heads()), mask_->shape.batch};
}

std::int64_t BackwardPlan::kv_repeats(const BackwardArgs& args) const {
  return (mask_->shape.batch == 1 ? args.k.batch() : 1) * args.k.heads();
}

bool BackwardPlan::copies_ahead(const BackwardArgs& args) const {
  return !one_pass(args) && !q_order_.in_place() && !kv_order_.in_place() &&
         (q_order_.exists() || kv_order_.exists());
}

std::int64_t BackwardPlan::launch_width(const BackwardArgs& args) const {
  const std::int64_t all = kv_repeats(args);
  const std::int64_t rows = std::max(args.q.batch() * args.q.heads() * padded_rows(args),
                                     args.k.batch() * args.k.heads() * args.k.rows());
  const auto bound = static_cast<std::size_t>(rows * args.q.width()) * sizeof(float);
  const auto fits = [&](std::int64_t width) {
    return lay_out(nullptr, args, width).bytes <= bound;
  };
  const bool copies = q_order_.copied_rows() != 0 || kv_order_.copied_rows() != 0;
  if (all <= 1 || !copies || fits(all)) return all;
  const auto widths = std::views::iota(std::int64_t{1}, all);
  const auto fitting = std::ranges::partition_point(widths, fits) - widths.begin();
  const std::int64_t most = std::max<std::int64_t>(fitting, 1);
  const std::int64_t launches = (all + most - 1) / most;
  return (all + launches - 1) / launches;
}

BackwardPlan::Workspace BackwardPlan::lay_out(void* memory, const BackwardArgs& args,
                                              std::int64_t width) const {
  WorkspacePieces pieces(memory);
  const std::int64_t all_heads = args.q.batch() * args.q.heads();
  const std::int64_t kv_heads = width * mask_->shape.batch;
  const std::int64_t q_heads = kv_heads * (args.q.heads() / args.k.heads());
  const auto stats = static_cast<std::size_t>(all_heads * padded_rows(args));
  const std::int64_t row_blocks = one_pass(args) ? mask_->row_blocks : 0;
  Workspace work{};
  work.state = pieces.take<BackwardState>(1);
  work.lse_log2 = pieces.take<float>(stats);
  work.delta = pieces.take<float>(stats);
  work.dq_turns = pieces.take<std::uint32_t>(static_cast<std::size_t>(all_heads * row_blocks));
  const auto sums = static_cast<std::size_t>(q_heads * row_blocks * kQuadrant * args.q.width());
  work.dq_sums = pieces.take<float>(sums);
  work.dq_bytes = sums * sizeof(float);
  const auto copy = [&](const TensorView& tensor, const DeviceOrder& order, std::int64_t heads) {
    return pieces.take<std::uint16_t>(order.copied_elements(tensor, heads));
  };
  const bool two = copies_ahead(args) && width < kv_repeats(args);
  for (int i = 0; i < (two ? 2 : 1); ++i) {
    work.copied[i] = {copy(args.q, q_order_, q_heads), copy(args.d_o, q_order_, q_heads),
                      copy(args.k, kv_order_, kv_heads), copy(args.v, kv_order_, kv_heads)};
  }
  if (!two) work.copied[1] = work.copied[0];
  work.bytes = pieces.bytes();
  return work;
}

RowCopies BackwardPlan::copies(const BackwardArgs& args, const Copied& to, const PairRange& q,
                               const PairRange& kv) const {
  return {.tensors = {q_order_.copy(args.q, to.q, q), q_order_.copy(args.d_o, to.d_o, q),
                      kv_order_.copy(args.k, to.k, kv), kv_order_.copy(args.v, to.v, kv)},
          .head_dim = static_cast<std::int32_t>(args.q.width())};
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

BackwardSchedule BackwardPlan::schedule(const BackwardArgs& args, const PairRange& pairs) const {
  const std::int64_t group = args.q.heads() / args.k.heads();
  const std::int64_t repeats = pairs.width;
  // Q, dO, K and V of those heads pass by twice, from the cache the second time.
  const std::int64_t bytes_per_head = 4 * args.q.width() * (args.q.rows() * group + args.k.rows());
  BackwardSchedule s{};
  s.head_group = static_cast<std::int32_t>(std::clamp<std::int64_t>(
      kCacheBytes / std::max<std::int64_t>(bytes_per_head, 1), 1, repeats));
  if (one_pass(args) && key_items_.total != 0) {
    // Additions to the same sums come from items that are drawn one after another; so many heads
    // side by side that they are drawn as far apart as two additions must be.
    const std::int64_t steps = key_items_.total * group / kKeyProducts;
    const std::int64_t apart = kAdditionSteps * multiprocessors_ *
                               static_cast<std::int64_t>(key_items_.lengths.size()) / steps;
    s.head_group =
        static_cast<std::int32_t>(std::clamp<std::int64_t>(apart, s.head_group, repeats));
  }
  // Items that would start in the last group of heads and outlast it run before all others.
  const std::int64_t group_time =
      ((one_pass(args) ? 0 : row_items_.total * group) + key_items_.total) * s.head_group /
      multiprocessors_;
  const auto describe = [&](const Items& items, const PairRange& range) {
    const auto n_items = static_cast<std::int64_t>(items.lengths.size());
    const std::int64_t mean = n_items == 0 ? 0 : items.total / n_items;
    const std::int64_t limit = std::max(group_time / 2, 2 * mean);
    const auto light = std::partition_point(items.lengths.begin(), items.lengths.end(),
                                            [limit](std::int64_t n) { return n > limit; });
    s.work_count += static_cast<std::uint32_t>(n_items * range.width);
    return BackwardItems{.items = items.items.data(),
                         .n_items = static_cast<std::int32_t>(n_items),
                         .heavy_items = static_cast<std::int32_t>(light - items.lengths.begin()),
                         .heads = range.heads,
                         .first_repeat = range.first,
                         .repeats = range.width};
  };
  if (!one_pass(args)) s.rows = describe(row_items_, pairs.times(static_cast<std::int32_t>(group)));
  s.keys = describe(key_items_, pairs);
  return s;
}

std::size_t BackwardPlan::workspace(const BackwardArgs& args) const {
  return lay_out(nullptr, args, launch_width(args)).bytes;
}

void BackwardPlan::run(const BackwardArgs& args) const {
  const auto stream = static_cast<cudaStream_t>(args.stream);
  const BackwardKernel& kernel = *find_kernel(args.q);
  const std::int64_t width = launch_width(args);
  const Workspace work = lay_out(args.workspace, args, width);
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
  if (one_pass(args)) {
    p.dq_sums = {work.dq_sums, work.dq_turns,     ranks_.data(),
                 {},           mask_->row_blocks, args.deterministic};
  }
  p.state = work.state;
  p.lse_log2 = work.lse_log2;
  p.delta = work.delta;
  p.q_rows = q_order_.rows();
  p.kv_rows = kv_order_.rows();
  p.dq = {args.dq.data, strides_of(args.dq), q_order_.data()};
  p.dk = {args.dk.data, strides_of(args.dk), kv_order_.data()};
  p.dv = {args.dv.data, strides_of(args.dv), kv_order_.data()};
  p.q = args.q.data;
  p.k = args.k.data;
  p.v = args.v.data;
  p.d_o = args.d_o.data;
  p.q_strides = strides_of(args.q);
  p.k_strides = strides_of(args.k);
  p.v_strides = strides_of(args.v);
  p.d_o_strides = strides_of(args.d_o);
  p.o = args.o.data;
  p.o_strides = strides_of(args.o);
  p.lse = static_cast<const float*>(args.lse.data);
  p.lse_strides = strides_of(args.lse);

  mask_->scan(kBackwardRows / kQuadrant, true, stream);
  check(kernel.open(p, multiprocessors_, stream), "launching the kernel in front of gradients");
  const std::int64_t all = kv_repeats(args);
  const bool ahead = copies_ahead(args);
  std::uint32_t drawn = 0;
  PairRange kv = kv_pairs(args, 0, width);
  for (int launch = 0; kv.width != 0; ++launch) {
    const std::int64_t next = kv.first + kv.width;
    const PairRange next_kv = kv_pairs(args, next, std::min(width, all - next));
    const PairRange q = kv.times(p.group);
    const Copied& copied = work.copied[launch % 2];
    if (launch == 0 || !ahead) {
      RowCopies all_rows = copies(args, copied, q, kv);
      all_rows.beside = launch == 0;
      check(copy_rows(all_rows, multiprocessors_, stream), "launching the copies of rows");
    }
    describe(args.q, q_order_, copied.q, q, p.q_map, p.q_boxes);
    describe(args.d_o, q_order_, copied.d_o, q, p.d_o_map, p.d_o_boxes);
    describe(args.k, kv_order_, copied.k, kv, p.k_map, p.k_boxes);
    describe(args.v, kv_order_, copied.v, kv, p.v_map, p.v_boxes);
    if (p.dq_sums.sums != nullptr && !args.deterministic) {
      check(cudaMemsetAsync(work.dq_sums, 0, work.dq_bytes, stream), "clearing the sums of dQ");
    }
    p.dq_sums.pairs = q;
    p.schedule = schedule(args, kv);
    p.schedule.drawn = drawn;
    // Two passes draw each item once; in one pass each CTA draws an end as well.
    drawn += p.schedule.work_count +
             (p.dq_sums.sums == nullptr ? 0 : static_cast<std::uint32_t>(multiprocessors_));
    p.copies = {};
    if (ahead && next_kv.width != 0) {
      p.copies = copies(args, work.copied[(launch + 1) % 2], next_kv.times(p.group), next_kv);
      p.copies.drawn = work.state->copied + launch % 2;
    }
    check(kernel.launch(p, multiprocessors_, stream), "launching the gradients");
    if (p.copies.drawn != nullptr) {
      RowCopies rest = p.copies;
      rest.beside = true;
      rest.clear = work.state->copied + (launch + 1) % 2;
      check(copy_rows(rest, multiprocessors_, stream), "launching the copies of rows");
    }
    kv = next_kv;
  }
  check(kernel.close(p, multiprocessors_, stream), "launching the kernel behind gradients");
}

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
//
// Attention under the other forms of a mask. Each row tile packs the key tiles that it visits for
// itself: gathered ones belong to it alone, and packing neighbouring ones again costs a few per
// cent of multiplying them.
#include "cpu/forms.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "allowed.hpp"
#include "arguments.hpp"
#include "attn/attention.hpp"
#include "attn/error.hpp"
#include "cpu/exact_row.hpp"
#include "cpu/kernels.hpp"
#include "cpu/sparse_row.hpp"
#include "cpu/workspace.hpp"
#include "order.hpp"
#include "parallel.hpp"

namespace attn::cpu {
namespace {

/// Consecutive places of an order: where the keys of a tile stand in K and V.
struct KeyRun {
  const Order& order;
  std::int32_t first;
  std::int32_t count;
};

/// A form of a mask, as a row tile sees it.
class Form {
 public:
  virtual ~Form() = default;
  [[nodiscard]] virtual const BlockMask& tiles() const = 0;
  [[nodiscard]] virtual KeyRun keys(std::int64_t b, std::int64_t h, std::int32_t row_tile,
                                    std::int32_t key_tile) const = 0;
  /// Keys of row i besides those in tiles, for kv_order.
  [[nodiscard]] virtual std::span<const std::int32_t> single(std::int64_t b, std::int64_t h,
                                                             std::int32_t i) const = 0;
  /// Where the keys that row i allows stand in K and V.
  virtual void find_places(std::int64_t b, std::int64_t h, std::int32_t i,
                           std::vector<std::int32_t>& places) const = 0;
  [[nodiscard]] virtual const Order& kv_order() const = 0;
};

class SplitForm final : public Form {
 public:
  SplitForm(const SplitMask& mask, const PrepareOptions& options)
      : mask_(mask), kv_order_(options.kv_order, mask.tiles().n_k(), "kv_order") {}

  const BlockMask& tiles() const override { return mask_.tiles(); }
  const Order& kv_order() const override { return kv_order_; }

  KeyRun keys(std::int64_t, std::int64_t, std::int32_t, std::int32_t key_tile) const override {
    const std::int32_t block_n = tiles().tile().block_n;
    const std::int32_t first = key_tile * block_n;
    return {kv_order_, first, std::min(block_n, tiles().n_k() - first)};
  }

  std::span<const std::int32_t> single(std::int64_t b, std::int64_t h,
                                       std::int32_t i) const override {
    const CsrPattern residual = mask_.residual(b, h);
    const auto begin = static_cast<std::size_t>(residual.offsets[static_cast<std::size_t>(i)]);
    const auto end = static_cast<std::size_t>(residual.offsets[static_cast<std::size_t>(i) + 1]);
    return residual.cols.subspan(begin, end - begin);
  }

  void find_places(std::int64_t b, std::int64_t h, std::int32_t i,
                   std::vector<std::int32_t>& places) const override {
    find_allowed_keys(tiles(), b, h, i, places);
    const auto others = single(b, h, i);
    places.insert(places.end(), others.begin(), others.end());
    for (std::int32_t& place : places) place = kv_order_[place];
  }

 private:
  SplitMask mask_;
  Order kv_order_;
};

class GatheredForm final : public Form {
 public:
  GatheredForm(const GatheredMask& mask, const PrepareOptions& options)
      : tiles_(mask.tiles()), kv_order_(options.kv_order, tiles_.n_k(), "kv_order") {
    for (std::int32_t b = 0; b < tiles_.batch(); ++b) {
      for (std::int32_t h = 0; h < tiles_.heads(); ++h) {
        for (std::int32_t t = 0; t < tiles_.row_tiles(); ++t) {
          std::vector<std::int32_t> places;
          for (const std::int32_t key : mask.keys(b, h, t)) places.push_back(kv_order_[key]);
          counts_.push_back(static_cast<std::int32_t>(places.size()));
          lists_.push_back(Order::of_places(std::move(places)));
        }
      }
    }
  }

  const BlockMask& tiles() const override { return tiles_; }
  const Order& kv_order() const override { return kv_order_; }

  KeyRun keys(std::int64_t b, std::int64_t h, std::int32_t row_tile,
              std::int32_t key_tile) const override {
    const std::size_t list = list_of(b, h, row_tile);
    const std::int32_t block_n = tiles_.tile().block_n;
    const std::int32_t first = key_tile * block_n;
    return {lists_[list], first, std::min(block_n, counts_[list] - first)};
  }

  std::span<const std::int32_t> single(std::int64_t, std::int64_t, std::int32_t) const override {
    return {};
  }

  void find_places(std::int64_t b, std::int64_t h, std::int32_t i,
                   std::vector<std::int32_t>& places) const override {
    find_allowed_keys(tiles_, b, h, i, places);
    const Order& list = lists_[list_of(b, h, i / tiles_.tile().block_m)];
    for (std::int32_t& place : places) place = list[place];
  }

 private:
  [[nodiscard]] std::size_t list_of(std::int64_t b, std::int64_t h, std::int32_t row_tile) const {
    const std::int64_t mask =
        (tiles_.batch() == 1 ? 0 : b) * tiles_.heads() + (tiles_.heads() == 1 ? 0 : h);
    return static_cast<std::size_t>(mask * tiles_.row_tiles() + row_tile);
  }

  BlockMask tiles_;
  Order kv_order_;
  std::vector<Order> lists_;          ///< of each mask and row tile: its keys' places in K and V
  std::vector<std::int32_t> counts_;  ///< beside lists_
};

/// A row tile and one packed key tile, one a thread.
using Scratch = std::vector<FloatBuffer>;

class FormPlan final : public Plan {
 public:
  FormPlan(std::unique_ptr<const Form> form, const PrepareOptions& options)
      : form_(std::move(form)),
        threads_(thread_count(options.threads)),
        q_order_(options.q_order, form_->tiles().n_q(), "q_order") {
    if (options.backward) refuse_backward();
    check_kernel_tile("cpu", options, form_->tiles().tile());
    if (options.algorithm != Algorithm::lists) {
      throw Error(ErrorCode::unsupported,
                  "split and gathered masks are walked by their lists alone");
    }
  }

  void forward(const ForwardArgs& args) const override {
    const BlockMask& mask = form_->tiles();
    validate(args, mask);
    std::unique_ptr<Scratch> scratch = scratch_.take();
    scratch->resize(static_cast<std::size_t>(threads_));
    const std::vector<Task> todo = tasks(args);
    parallel_for(threads_, static_cast<std::int64_t>(todo.size()),
                 [&](std::int64_t index, int worker) {
                   attend(args, todo[static_cast<std::size_t>(index)],
                          (*scratch)[static_cast<std::size_t>(worker)]);
                 });
    scratch_.give_back(std::move(scratch));
  }

  void backward(const BackwardArgs&) const override { refuse_backward(); }
  std::size_t backward_workspace(const BackwardArgs&) const override { refuse_backward(); }

 private:
  struct Task {
    std::int64_t b, h;
    std::int32_t row_tile;
    std::size_t weight;
  };

  /// The parts of a worker's memory.
  struct Memory {
    RowTile tile;
    float* keys;
    float* values;
    float* rows;  ///< two padded rows
  };

  [[noreturn]] static void refuse_backward() {
    throw Error(ErrorCode::unsupported,
                "split and gathered masks have no backward pass; prepare a BlockMask for it");
  }

  /// The heaviest first.
  [[nodiscard]] std::vector<Task> tasks(const ForwardArgs& args) const {
    const BlockMask& mask = form_->tiles();
    std::vector<Task> all;
    for (std::int64_t b = 0; b < args.q.batch(); ++b) {
      for (std::int64_t h = 0; h < args.q.heads(); ++h) {
        const TileLists lists = mask.lists(b, h);
        for (std::int32_t t = 0; t < mask.row_tiles(); ++t) {
          all.push_back({b, h, t, lists.full(t).size() + lists.partial(t).size()});
        }
      }
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Task& a, const Task& b) { return a.weight > b.weight; });
    return all;
  }

  static Memory divide(const Layout& layout, FloatBuffer& buffer) {
    const auto aligned = [](std::size_t count) { return (count + 15) / 16 * 16; };
    const auto rows = static_cast<std::size_t>(layout.block_m);
    const std::size_t sizes[] = {
        aligned(rows * static_cast<std::size_t>(layout.head_dim)),  // queries
        aligned(rows * layout.padded_width()),                      // output
        aligned(rows * static_cast<std::size_t>(layout.lanes)),     // sum
        aligned(rows),                                              // max
        aligned(layout.padded_width()),                             // row
        aligned(layout.packed_keys()),
        aligned(layout.packed_values()),
        aligned(2 * layout.padded_width()),
    };
    std::size_t total = 0;
    for (const std::size_t size : sizes) total += size;
    buffer.require(total);
    float* next = buffer.data();
    auto take = [&, part = std::size_t{0}]() mutable {
      float* const begin = next;
      next += sizes[part++];
      return begin;
    };
    Memory memory{};
    memory.tile.queries = take();
    memory.tile.output = take();
    memory.tile.sum = take();
    memory.tile.max = take();
    memory.tile.row = take();
    memory.keys = take();
    memory.values = take();
    memory.rows = take();
    return memory;
  }

  void attend(const ForwardArgs& args, const Task& task, FloatBuffer& buffer) const {
    constexpr double kLog2e = 1.44269504088896340736;
    const Kernels& kernels = cpu::kernels();
    const BlockMask& mask = form_->tiles();
    const auto [b, h, row_tile, weight] = task;
    const std::int64_t kv_head = h / (args.q.heads() / args.k.heads());
    const Layout layout{mask.tile().block_m, mask.tile().block_n,
                        static_cast<std::int32_t>(args.q.width()), kernels.lanes};
    Memory memory = divide(layout, buffer);
    RowTile& tile = memory.tile;
    const std::int32_t first_row = row_tile * layout.block_m;
    tile.rows = std::min(layout.block_m, mask.n_q() - first_row);
    kernels.begin(layout, HeadRows(args.q, b, h, q_order_), first_row,
                  static_cast<float>(softmax_scale(args.scale, args.q.width()) * kLog2e), tile);

    TileBits redo{};
    const auto visit = [&](std::int32_t key_tile, const std::uint8_t* bits) {
      const KeyRun run = form_->keys(b, h, row_tile, key_tile);
      TileBits unsound{};
      kernels.pack_keys(layout, HeadRows(args.k, b, kv_head, run.order), run.first, run.count,
                        tile.row, memory.keys);
      kernels.pack_values(layout, HeadRows(args.v, b, kv_head, run.order), run.first, run.count,
                          tile.row, memory.values, unsound);
      kernels.visit(layout, {memory.keys, memory.values, run.count, bits}, tile);
      add_rows_allowing(unsound, {bits, layout.block_m, layout.block_n}, redo);
    };
    const TileLists lists = mask.lists(b, h);
    for (const std::int32_t key_tile : lists.full(row_tile)) visit(key_tile, nullptr);
    std::int64_t place = lists.partial_offsets[static_cast<std::size_t>(row_tile)];
    for (const std::int32_t key_tile : lists.partial(row_tile)) {
      visit(key_tile, lists.partial_bits.data() + place++ * (mask.bits_per_tile() / 8));
    }

    const HeadRows k(args.k, b, kv_head, form_->kv_order());
    const HeadRows v(args.v, b, kv_head, form_->kv_order());
    const HeadRows o(args.o, b, h, q_order_);
    std::vector<std::int32_t> places;
    for (std::int32_t r = 0; r < tile.rows; ++r) {
      const std::int32_t i = first_row + r;
      const auto single = form_->single(b, h, i);
      if (!single.empty()) add_keys(layout, tile, r, k, v, single, memory.rows);
      float* lse = nullptr;
      if (args.lse.data != nullptr) {
        lse = static_cast<float*>(args.lse.data) + row_offset(args.lse, b, h, q_order_[i]);
      }
      // As in flash.cpp: what is not finite, and rows without a key, are settled exactly.
      if (has(redo, r) || !kernels.finish(layout, tile, r, o, i, lse)) {
        form_->find_places(b, h, i, places);
        ExactRow(args).attend(b, h, q_order_[i], places);
      }
    }
  }

  std::unique_ptr<const Form> form_;
  int threads_;
  Order q_order_;
  mutable Pool<Scratch> scratch_;
};

}  // namespace

std::unique_ptr<Plan> make_split_plan(const SplitMask& mask, const PrepareOptions& options) {
  return std::make_unique<FormPlan>(std::make_unique<SplitForm>(mask, options), options);
}

std::unique_ptr<Plan> make_gathered_plan(const GatheredMask& mask, const PrepareOptions& options) {
  return std::make_unique<FormPlan>(std::make_unique<GatheredForm>(mask, options), options);
}

}  // namespace attn::cpu

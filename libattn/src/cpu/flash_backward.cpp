// SPDX-License-Identifier: Apache-2.0
//
// The backward pass over the tiles of a BlockMask, in one pass: a task is a row tile of one query
// head. It computes P and dS of each tile that it visits once, keeps dQ to itself and adds to dK
// and dV of the key tile, which other tasks add to as well. Every key tile takes these additions in
// the order of the tasks, whoever runs them: a task that comes early waits for its turn. So the
// sums, and with them all bits of the result, are the same on any number of threads.
//
// Tasks are handed out in that same order, so that a task only ever waits for one that is running
// already. Tasks that follow each other belong to different key heads where there are several, so
// that waits are rare.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/exact_gradients.hpp"
#include "cpu/exact_row.hpp"
#include "cpu/flash.hpp"
#include "cpu/kernels.hpp"
#include "parallel.hpp"

namespace attn::cpu {
namespace {

constexpr double kLog2e = 1.44269504088896340736;

/// A row tile of one of the query heads that share a key head.
struct Visitor {
  std::int32_t head;  ///< counted from the first that shares the key head
  std::int32_t row_tile;
  std::int64_t weight;        ///< tiles to visit
  std::int64_t first_ticket;  ///< of its tiles, in the order in which it visits them
};

/// All of one key head, the heaviest first, and which number each has at each key tile it visits.
struct Queue {
  std::vector<Visitor> visitors;
  std::vector<std::int32_t> tickets;
};

struct Task {
  std::int32_t group;    ///< key head of the wave
  std::int32_t visitor;  ///< of that key head's queue
  std::int64_t weight;
};

/// Sizes of the parts of the workspace, in floats.
struct Sizes {
  Layout layout;
  std::size_t tile;     ///< a packed key tile and its gradients
  std::size_t group;    ///< all used key tiles of a key head
  std::size_t scratch;  ///< of a thread
  std::int64_t wave;    ///< key heads held at once

  Sizes(const PreparedMask& prepared, const BackwardArgs& args);
};

std::size_t aligned(std::size_t floats) {
  return (floats + 15) / 16 * 16;
}

/// A row tile in scratch memory, or only the size of that memory when `memory` is null.
std::size_t lay_out(const Layout& layout, float* memory, GradientRows& tile) {
  std::size_t floats = 0;
  const auto place = [&](float*& part, std::size_t count) {
    part = memory == nullptr ? nullptr : memory + floats;
    floats += aligned(count);
  };
  const auto rows = static_cast<std::size_t>(layout.block_m);
  place(tile.queries, rows * static_cast<std::size_t>(layout.head_dim));
  place(tile.d_o, rows * static_cast<std::size_t>(layout.head_dim));
  place(tile.query_rows, rows * layout.padded_width());
  place(tile.d_o_rows, rows * layout.padded_width());
  place(tile.dq, rows * layout.padded_width());
  place(tile.p, rows * layout.score_stride());
  place(tile.ds, rows * layout.score_stride());
  place(tile.lse, rows);
  place(tile.delta, rows);
  place(tile.row, 2 * layout.padded_width());
  return floats;
}

Sizes::Sizes(const PreparedMask& prepared, const BackwardArgs& args)
    : layout{prepared.mask.tile().block_m, prepared.mask.tile().block_n,
             static_cast<std::int32_t>(args.q.width()), kernels().lanes},
      tile(aligned(2 * layout.packed_keys() + 3 * layout.packed_values())),
      group(tile * prepared.used_tiles.size()) {
  GradientRows unused{};
  scratch = lay_out(layout, nullptr, unused);
  const std::size_t fitting = group == 0 ? SIZE_MAX : kWaveFloats / group;
  const std::int64_t groups = args.k.batch() * args.k.heads();
  wave = static_cast<std::int64_t>(
      std::clamp<std::size_t>(fitting, 1, static_cast<std::size_t>(groups)));
}

class BackwardCall {
 public:
  BackwardCall(const PreparedMask& prepared, const BackwardArgs& args);
  void run();

 private:
  /// Batch and key head of a group of the wave at hand.
  struct Head {
    std::int64_t b, kv_head;
  };
  [[nodiscard]] Head head(std::int64_t group) const {
    return {(first_group_ + group) / args_.k.heads(), (first_group_ + group) % args_.k.heads()};
  }
  /// A used key tile of the wave.
  [[nodiscard]] std::size_t place(std::int64_t group, std::int32_t key_tile) const {
    return static_cast<std::size_t>(group) * prepared_.used_tiles.size() +
           static_cast<std::size_t>(prepared_.slot[static_cast<std::size_t>(key_tile)]);
  }
  [[nodiscard]] std::int32_t keys_in(std::int32_t key_tile) const {
    return std::min(layout_.block_n, prepared_.mask.n_k() - key_tile * layout_.block_n);
  }
  [[nodiscard]] const Queue& queue(const Head& head) const;
  [[nodiscard]] Queue make_queue(std::int64_t b, std::int64_t kv_head) const;
  [[nodiscard]] GradientKeys key_tile(std::size_t place) const;
  [[nodiscard]] GradientRows row_tile(int worker) const;
  [[nodiscard]] ExactGradients exact() const {
    return {args_, prepared_.mask, *prepared_.transposed, prepared_.q_order, prepared_.kv_order};
  }

  void pack(std::int64_t group, std::int32_t key_tile, float* row);
  [[nodiscard]] std::vector<Task> tasks(std::int64_t groups) const;
  void run_task(const Task& task, GradientRows rows);
  void add_in_turn(std::size_t place, std::int32_t ticket, const GradientKeys& keys,
                   const GradientRows& rows, const TileBits& unsound_rows);
  void finish_queries(std::int64_t b, std::int64_t h, std::int32_t row_tile,
                      const GradientRows& rows, const TileBits& redo) const;
  void finish_keys(std::int64_t group, std::int32_t key_tile, float* row) const;

  const PreparedMask& prepared_;
  const BackwardArgs& args_;
  const Kernels& kernels_;
  Sizes sizes_;
  const Layout& layout_;
  std::int64_t heads_per_group_;
  float scale_;
  float* packed_;
  float* scratch_;

  std::vector<Queue> queues_;  // one a key head that differs from the others by its masks
  std::int64_t first_group_ = 0;
  // One a used key tile of the wave:
  std::vector<TileBits> unsound_;                      // keys whose K is not finite
  std::vector<TileBits> redo_;                         // keys that an unsound query allows
  std::unique_ptr<std::atomic<std::int32_t>[]> turn_;  // the ticket that may add next
};

BackwardCall::BackwardCall(const PreparedMask& prepared, const BackwardArgs& args)
    : prepared_(prepared),
      args_(args),
      kernels_(kernels()),
      sizes_(prepared, args),
      layout_(sizes_.layout),
      heads_per_group_(args.q.heads() / args.k.heads()),
      scale_(static_cast<float>(softmax_scale(args.scale, args.q.width()))),
      packed_(static_cast<float*>(args.workspace)),
      scratch_(packed_ + static_cast<std::size_t>(sizes_.wave) * sizes_.group) {
  const BlockMask& mask = prepared.mask;
  for (std::int64_t b = 0; b < mask.batch(); ++b) {
    for (std::int64_t h = 0; h < (mask.heads() == 1 ? 1 : args.k.heads()); ++h) {
      queues_.push_back(make_queue(b, h));
    }
  }
  const std::size_t tiles = static_cast<std::size_t>(sizes_.wave) * prepared.used_tiles.size();
  unsound_.resize(tiles);
  redo_.resize(tiles);
  turn_ = std::make_unique<std::atomic<std::int32_t>[]>(tiles);
}

const Queue& BackwardCall::queue(const Head& head) const {
  const BlockMask& mask = prepared_.mask;
  const std::int64_t b = mask.batch() == 1 ? 0 : head.b;
  const std::int64_t index = mask.heads() == 1 ? b : b * args_.k.heads() + head.kv_head;
  return queues_[static_cast<std::size_t>(index)];
}

Queue BackwardCall::make_queue(std::int64_t b, std::int64_t kv_head) const {
  const BlockMask& mask = prepared_.mask;
  Queue queue;
  for (std::int64_t h = 0; h < heads_per_group_; ++h) {
    for (std::int32_t t = 0; t < mask.row_tiles(); ++t) {
      const std::int64_t head = kv_head * heads_per_group_ + h;
      queue.visitors.push_back(
          {static_cast<std::int32_t>(h), t, prepared_.walk.count(mask, b, head, t), 0});
    }
  }
  std::stable_sort(queue.visitors.begin(), queue.visitors.end(),
                   [](const Visitor& x, const Visitor& y) { return x.weight > y.weight; });
  std::vector<std::int32_t> next(static_cast<std::size_t>(mask.key_tiles()), 0);
  for (Visitor& visitor : queue.visitors) {
    visitor.first_ticket = static_cast<std::int64_t>(queue.tickets.size());
    prepared_.walk.row(mask, b, kv_head * heads_per_group_ + visitor.head, visitor.row_tile,
                       [&](std::int32_t key_tile, const std::uint8_t*) {
                         queue.tickets.push_back(next[static_cast<std::size_t>(key_tile)]++);
                       });
  }
  return queue;
}

GradientKeys BackwardCall::key_tile(std::size_t place) const {
  GradientKeys tile{};
  float* const start = packed_ + place * sizes_.tile;
  tile.keys = start;
  tile.values = start + layout_.packed_keys();
  tile.key_rows = tile.values + layout_.packed_keys();
  tile.dk = start + 2 * layout_.packed_keys() + layout_.packed_values();
  tile.dv = tile.dk + layout_.packed_values();
  return tile;
}

GradientRows BackwardCall::row_tile(int worker) const {
  GradientRows tile{};
  lay_out(layout_, scratch_ + static_cast<std::size_t>(worker) * sizes_.scratch, tile);
  return tile;
}

void BackwardCall::pack(std::int64_t group, std::int32_t key_tile_index, float* row) {
  const auto [b, kv_head] = head(group);
  const std::size_t at = place(group, key_tile_index);
  const std::int32_t first = key_tile_index * layout_.block_n;
  const std::int32_t count = keys_in(key_tile_index);
  const GradientKeys tile = key_tile(at);
  float* const start = packed_ + at * sizes_.tile;
  const HeadRows k(args_.k, b, kv_head, prepared_.kv_order);
  const HeadRows v(args_.v, b, kv_head, prepared_.kv_order);
  kernels_.pack_keys(layout_, k, first, count, row, start);
  kernels_.pack_keys(layout_, v, first, count, row, start + layout_.packed_keys());
  kernels_.pack_values(layout_, k, first, count, row, start + 2 * layout_.packed_keys(),
                       unsound_[at]);
  std::fill_n(tile.dk, 2 * layout_.packed_values(), 0.0f);
  redo_[at].fill(0);
  turn_[at].store(0, std::memory_order_relaxed);
}

/// Heaviest first, the groups in turn. Within a group the queue's order is kept.
std::vector<Task> BackwardCall::tasks(std::int64_t groups) const {
  std::vector<Task> all;
  for (std::int64_t group = 0; group < groups; ++group) {
    const Queue& queued = queue(head(group));
    for (std::size_t n = 0; n < queued.visitors.size(); ++n) {
      all.push_back({static_cast<std::int32_t>(group), static_cast<std::int32_t>(n),
                     queued.visitors[n].weight});
    }
  }
  std::sort(all.begin(), all.end(), [](const Task& x, const Task& y) {
    if (x.weight != y.weight) return x.weight > y.weight;
    return x.visitor != y.visitor ? x.visitor < y.visitor : x.group < y.group;
  });
  return all;
}

void BackwardCall::run_task(const Task& task, GradientRows rows) {
  const BlockMask& mask = prepared_.mask;
  const Head at = head(task.group);
  const Queue& queued = queue(at);
  const Visitor& visitor = queued.visitors[static_cast<std::size_t>(task.visitor)];
  const std::int64_t h = at.kv_head * heads_per_group_ + visitor.head;
  const std::int32_t first = visitor.row_tile * layout_.block_m;
  rows.rows = std::min(layout_.block_m, mask.n_q() - first);
  for (std::int32_t r = 0; r < rows.rows; ++r) {
    const std::int64_t offset = row_offset(args_.lse, at.b, h, prepared_.q_order[first + r]);
    rows.lse[r] = static_cast<float>(kLog2e * static_cast<const float*>(args_.lse.data)[offset]);
  }
  TileBits unsound_rows;
  kernels_.begin_gradients(layout_,
                           {HeadRows(args_.q, at.b, h, prepared_.q_order),
                            HeadRows(args_.d_o, at.b, h, prepared_.q_order),
                            HeadRows(args_.o, at.b, h, prepared_.q_order)},
                           first, static_cast<float>(double{scale_} * kLog2e), rows, unsound_rows);

  TileBits redo_rows{};
  const std::int32_t* ticket = queued.tickets.data() + visitor.first_ticket;
  prepared_.walk.row(
      mask, at.b, h, visitor.row_tile, [&](std::int32_t key_tile_index, const std::uint8_t* bits) {
        const std::size_t where = place(task.group, key_tile_index);
        GradientKeys keys = key_tile(where);
        keys.cols = keys_in(key_tile_index);
        keys.bits = bits;
        add_rows_allowing(unsound_[where], {bits, layout_.block_m, layout_.block_n}, redo_rows);
        kernels_.add_query_gradients(layout_, keys, rows);
        add_in_turn(where, *ticket++, keys, rows, unsound_rows);
      });
  finish_queries(at.b, h, visitor.row_tile, rows, redo_rows);
}

void BackwardCall::add_in_turn(std::size_t place, std::int32_t ticket, const GradientKeys& keys,
                               const GradientRows& rows, const TileBits& unsound_rows) {
  std::atomic<std::int32_t>& turn = turn_[place];
  for (std::int32_t now; (now = turn.load(std::memory_order_acquire)) != ticket;) turn.wait(now);
  kernels_.add_key_gradients(layout_, keys, rows);
  add_keys_allowed_by(unsound_rows, {keys.bits, layout_.block_m, layout_.block_n}, redo_[place]);
  turn.store(ticket + 1, std::memory_order_release);
  turn.notify_all();
}

/// Whatever is not finite is settled exactly, row by row.
void BackwardCall::finish_queries(std::int64_t b, std::int64_t h, std::int32_t row_tile,
                                  const GradientRows& rows, const TileBits& redo) const {
  const HeadRows dq(args_.dq, b, h, prepared_.q_order);
  for (std::int32_t r = 0; r < rows.rows; ++r) {
    const std::int32_t i = row_tile * layout_.block_m + r;
    const float* const sums = rows.dq + static_cast<std::size_t>(r) * layout_.padded_width();
    if (has(redo, r) || !kernels_.finish_gradient(layout_, sums, scale_, dq, i, rows.row)) {
      exact().query(b, h, i);
    }
  }
}

void BackwardCall::finish_keys(std::int64_t group, std::int32_t key_tile_index, float* row) const {
  const auto [b, kv_head] = head(group);
  const HeadRows dk(args_.dk, b, kv_head, prepared_.kv_order);
  const HeadRows dv(args_.dv, b, kv_head, prepared_.kv_order);
  const std::int32_t first = key_tile_index * layout_.block_n;
  const std::int32_t count = keys_in(key_tile_index);
  if (prepared_.slot[static_cast<std::size_t>(key_tile_index)] < 0) {  // no query comes by
    std::fill_n(row, 2 * layout_.padded_width(), 0.0f);
    for (std::int32_t n = 0; n < count; ++n) {
      kernels_.finish_gradient(layout_, row, 0.0f, dk, first + n, row + layout_.padded_width());
      kernels_.finish_gradient(layout_, row, 0.0f, dv, first + n, row + layout_.padded_width());
    }
    return;
  }
  const std::size_t at = place(group, key_tile_index);
  const GradientKeys sums = key_tile(at);
  for (std::int32_t n = 0; n < count; ++n) {
    const std::size_t offset = static_cast<std::size_t>(n) * layout_.padded_width();
    if (has(redo_[at], n) || has(unsound_[at], n) ||
        !kernels_.finish_gradient(layout_, sums.dk + offset, scale_, dk, first + n, row) ||
        !kernels_.finish_gradient(layout_, sums.dv + offset, 1.0f, dv, first + n, row)) {
      exact().key(b, kv_head, first + n);
    }
  }
}

void BackwardCall::run() {
  const int threads = prepared_.threads;
  const std::int64_t all = args_.k.batch() * args_.k.heads();
  const auto used = static_cast<std::int64_t>(prepared_.used_tiles.size());
  const std::int64_t key_tiles = prepared_.mask.key_tiles();
  for (first_group_ = 0; first_group_ < all; first_group_ += sizes_.wave) {
    const std::int64_t groups = std::min(sizes_.wave, all - first_group_);
    parallel_for(threads, groups * used, [&](std::int64_t index, int worker) {
      pack(index / used, prepared_.used_tiles[static_cast<std::size_t>(index % used)],
           row_tile(worker).row);
    });
    const std::vector<Task> todo = tasks(groups);
    parallel_for(threads, static_cast<std::int64_t>(todo.size()),
                 [&](std::int64_t index, int worker) {
                   run_task(todo[static_cast<std::size_t>(index)], row_tile(worker));
                 });
    parallel_for(threads, groups * key_tiles, [&](std::int64_t index, int worker) {
      finish_keys(index / key_tiles, static_cast<std::int32_t>(index % key_tiles),
                  row_tile(worker).row);
    });
  }
}

}  // namespace

void flash_backward(const PreparedMask& prepared, const BackwardArgs& args) {
  BackwardCall(prepared, args).run();
}

std::size_t flash_backward_workspace(const PreparedMask& prepared, const BackwardArgs& args) {
  const Sizes sizes(prepared, args);
  return sizeof(float) * (static_cast<std::size_t>(sizes.wave) * sizes.group +
                          static_cast<std::size_t>(prepared.threads) * sizes.scratch);
}

}  // namespace attn::cpu

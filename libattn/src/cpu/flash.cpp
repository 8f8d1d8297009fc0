// SPDX-License-Identifier: Apache-2.0
//
// Flash attention over the tiles of a BlockMask. A call runs in waves of key
// heads whose packed K and V fit the workspace. Each wave packs the key tiles that any query
// visits, then works through its row tiles, the heaviest first, on all threads.
#include "cpu/flash.hpp"

#include <algorithm>
#include <cstdint>

#include "cpu/exact_row.hpp"
#include "cpu/kernels.hpp"
#include "parallel.hpp"

namespace attn::cpu {
namespace {

/// One row tile of one query head, whose key head is the group-th of the wave.
struct Task {
  std::int32_t group;
  std::int32_t head;
  std::int32_t row_tile;
  std::int64_t weight;  ///< tiles to visit
};

/// One call of forward: the sizes that depend on the tensors, and the steps of a wave.
class ForwardCall {
 public:
  ForwardCall(const PreparedMask& prepared, const ForwardArgs& args, Workspace& workspace);
  void run();

 private:
  [[nodiscard]] std::int64_t groups() const { return args_.k.batch() * args_.k.heads(); }
  [[nodiscard]] float* packed_keys(std::int64_t group, std::int32_t slot) const {
    return workspace_.packed.data() + static_cast<std::size_t>(group) * group_floats_ +
           static_cast<std::size_t>(slot) * tile_floats_;
  }
  [[nodiscard]] TileBits& unsound(std::int64_t group, std::int32_t slot) const {
    return workspace_.unsound[static_cast<std::size_t>(group) * prepared_.used_tiles.size() +
                              static_cast<std::size_t>(slot)];
  }
  [[nodiscard]] RowTile row_tile(int worker) const;

  void pack(std::int64_t first_group, std::int64_t group, std::int32_t slot, float* row) const;
  [[nodiscard]] std::vector<Task> tasks(std::int64_t first_group, std::int64_t count) const;
  void attend(std::int64_t first_group, const Task& task, RowTile tile) const;
  [[nodiscard]] TileBits unsound_rows(std::int64_t b, const Task& task) const;

  const PreparedMask& prepared_;
  const ForwardArgs& args_;
  Workspace& workspace_;
  const Kernels& kernels_;
  Layout layout_;
  std::int64_t heads_per_group_;
  std::size_t tile_floats_;   // packed K and V of a key tile
  std::size_t group_floats_;  // ... of all used key tiles
};

ForwardCall::ForwardCall(const PreparedMask& prepared, const ForwardArgs& args,
                         Workspace& workspace)
    : prepared_(prepared),
      args_(args),
      workspace_(workspace),
      kernels_(kernels()),
      layout_{prepared.mask.tile().block_m, prepared.mask.tile().block_n,
              static_cast<std::int32_t>(args.q.width()), kernels_.lanes},
      heads_per_group_(args.q.heads() / args.k.heads()),
      tile_floats_(layout_.packed_keys() + layout_.packed_values()),
      group_floats_(tile_floats_ * prepared.used_tiles.size()) {}

RowTile ForwardCall::row_tile(int worker) const {
  const auto rows = static_cast<std::size_t>(layout_.block_m);
  const auto aligned = [](std::size_t count) { return (count + 15) / 16 * 16; };
  const std::size_t queries = aligned(rows * static_cast<std::size_t>(layout_.head_dim));
  const std::size_t output = aligned(rows * layout_.padded_width());
  const std::size_t sum = aligned(rows * static_cast<std::size_t>(layout_.lanes));
  FloatBuffer& buffer = workspace_.row_tiles[static_cast<std::size_t>(worker)];
  buffer.require(queries + output + sum + aligned(rows) + aligned(layout_.padded_width()));
  RowTile tile{};
  tile.queries = buffer.data();
  tile.output = tile.queries + queries;
  tile.sum = tile.output + output;
  tile.max = tile.sum + sum;
  tile.row = tile.max + aligned(rows);
  return tile;
}

void ForwardCall::pack(std::int64_t first_group, std::int64_t group, std::int32_t slot,
                       float* row) const {
  const std::int64_t b = (first_group + group) / args_.k.heads();
  const std::int64_t h = (first_group + group) % args_.k.heads();
  const std::int32_t first = prepared_.used_tiles[static_cast<std::size_t>(slot)] * layout_.block_n;
  const std::int32_t count = std::min(layout_.block_n, prepared_.mask.n_k() - first);
  float* const keys = packed_keys(group, slot);
  kernels_.pack_keys(layout_, HeadRows(args_.k, b, h, prepared_.kv_order), first, count, row, keys);
  kernels_.pack_values(layout_, HeadRows(args_.v, b, h, prepared_.kv_order), first, count, row,
                       keys + layout_.packed_keys(), unsound(group, slot));
}

std::vector<Task> ForwardCall::tasks(std::int64_t first_group, std::int64_t count) const {
  std::vector<Task> all;
  all.reserve(static_cast<std::size_t>(count * heads_per_group_ * prepared_.mask.row_tiles()));
  for (std::int64_t group = 0; group < count; ++group) {
    const std::int64_t b = (first_group + group) / args_.k.heads();
    const std::int64_t first_head = (first_group + group) % args_.k.heads() * heads_per_group_;
    for (std::int64_t h = first_head; h < first_head + heads_per_group_; ++h) {
      for (std::int32_t t = 0; t < prepared_.mask.row_tiles(); ++t) {
        all.push_back({static_cast<std::int32_t>(group), static_cast<std::int32_t>(h), t,
                       prepared_.walk.count(prepared_.mask, b, h, t)});
      }
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Task& a, const Task& b) { return a.weight > b.weight; });
  return all;
}

void ForwardCall::attend(std::int64_t first_group, const Task& task, RowTile tile) const {
  constexpr double kLog2e = 1.44269504088896340736;
  const BlockMask& mask = prepared_.mask;
  const std::int64_t b = (first_group + task.group) / args_.k.heads();
  const std::int32_t first_row = task.row_tile * layout_.block_m;
  tile.rows = std::min(layout_.block_m, mask.n_q() - first_row);
  kernels_.begin(layout_, HeadRows(args_.q, b, task.head, prepared_.q_order), first_row,
                 static_cast<float>(softmax_scale(args_.scale, args_.q.width()) * kLog2e), tile);

  prepared_.walk.row(
      mask, b, task.head, task.row_tile, [&](std::int32_t index, const std::uint8_t* bits) {
        const float* const keys =
            packed_keys(task.group, prepared_.slot[static_cast<std::size_t>(index)]);
        const std::int32_t cols = std::min(layout_.block_n, mask.n_k() - index * layout_.block_n);
        kernels_.visit(layout_, {keys, keys + layout_.packed_keys(), cols, bits}, tile);
      });

  const TileBits redo = unsound_rows(b, task);
  const HeadRows o(args_.o, b, task.head, prepared_.q_order);
  for (std::int32_t r = 0; r < tile.rows; ++r) {
    const std::int32_t i = first_row + r;
    const std::int32_t place = prepared_.q_order[i];
    float* lse = nullptr;
    if (args_.lse.data != nullptr) {
      lse = static_cast<float*>(args_.lse.data) + row_offset(args_.lse, b, task.head, place);
    }
    // Whatever is not finite, and rows without a key, are settled exactly, row by row.
    if (has(redo, r) || !kernels_.finish(layout_, tile, r, o, i, lse)) {
      ExactRow(args_, mask, prepared_.kv_order).attend(b, task.head, i, place);
    }
  }
}

/// The rows that allow a key whose value is not finite.
TileBits ForwardCall::unsound_rows(std::int64_t b, const Task& task) const {
  TileBits rows{};
  prepared_.walk.row(prepared_.mask, b, task.head, task.row_tile,
                     [&](std::int32_t index, const std::uint8_t* bits) {
                       add_rows_allowing(
                           unsound(task.group, prepared_.slot[static_cast<std::size_t>(index)]),
                           {bits, layout_.block_m, layout_.block_n}, rows);
                     });
  return rows;
}

void ForwardCall::run() {
  const auto threads = static_cast<std::size_t>(prepared_.threads);
  if (workspace_.row_tiles.size() < threads) workspace_.row_tiles.resize(threads);
  const std::size_t fitting = group_floats_ == 0 ? SIZE_MAX : kWaveFloats / group_floats_;
  const std::int64_t wave = static_cast<std::int64_t>(
      std::clamp<std::size_t>(fitting, 1, static_cast<std::size_t>(groups())));
  workspace_.packed.require(static_cast<std::size_t>(wave) * group_floats_);

  const auto used = static_cast<std::int64_t>(prepared_.used_tiles.size());
  workspace_.unsound.resize(static_cast<std::size_t>(wave * used));
  for (std::int64_t first = 0; first < groups(); first += wave) {
    const std::int64_t count = std::min(wave, groups() - first);
    parallel_for(prepared_.threads, count * used, [&](std::int64_t index, int worker) {
      pack(first, index / used, static_cast<std::int32_t>(index % used), row_tile(worker).row);
    });
    const std::vector<Task> todo = tasks(first, count);
    parallel_for(prepared_.threads, static_cast<std::int64_t>(todo.size()),
                 [&](std::int64_t index, int worker) {
                   attend(first, todo[static_cast<std::size_t>(index)], row_tile(worker));
                 });
  }
}

}  // namespace

void flash_forward(const PreparedMask& prepared, const ForwardArgs& args, Workspace& workspace) {
  ForwardCall(prepared, args, workspace).run();
}

}  // namespace attn::cpu

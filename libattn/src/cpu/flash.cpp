// SPDX-License-Identifier: Apache-2.0
//
// The backend `cpu`: flash attention over the tiles of a BlockMask. A call runs in waves of key
// heads whose packed K and V fit the workspace. Each wave packs the key tiles that any query
// visits, then works through its row tiles, the heaviest first, on all threads.
#include <algorithm>
#include <bitset>
#include <cstdint>

#include "attn/attention.hpp"
#include "backends.hpp"
#include "cpu/exact_row.hpp"
#include "cpu/kernels.hpp"
#include "cpu/workspace.hpp"
#include "order.hpp"
#include "parallel.hpp"

namespace attn::cpu {
namespace {

constexpr std::size_t kWaveFloats = std::size_t{32} << 20;  // 128 MiB of packed K and V

/// What one call needs besides the tensors.
struct Workspace {
  FloatBuffer packed;                  ///< K and V of a wave
  std::vector<KeySet> unsound;         ///< keys of each packed tile whose value is not finite
  std::vector<FloatBuffer> row_tiles;  ///< one a thread
};

/// One row tile of one query head, whose key head is the group-th of the wave.
struct Task {
  std::int32_t group;
  std::int32_t head;
  std::int32_t row_tile;
  std::int64_t weight;  ///< tiles to visit
};

/// Rows of a row tile.
using RowSet = std::bitset<256>;

class FlashPlan final : public Plan {
 public:
  FlashPlan(const BlockMask& mask, const PrepareOptions& options)
      : mask_(mask),
        threads_(thread_count(options.threads)),
        q_order_(options.q_order, mask.n_q(), "q_order"),
        kv_order_(options.kv_order, mask.n_k(), "kv_order"),
        used_(mask) {}

  void forward(const ForwardArgs& args) const override;

 private:
  class Call;

  /// The key tiles that any row tile visits, and where each stands among them.
  struct UsedTiles {
    explicit UsedTiles(const BlockMask& mask);
    std::vector<std::int32_t> tiles;
    std::vector<std::int32_t> slot;
  };

  BlockMask mask_;
  int threads_;
  Order q_order_;
  Order kv_order_;
  UsedTiles used_;
  mutable Pool<Workspace> workspaces_;
};

FlashPlan::UsedTiles::UsedTiles(const BlockMask& mask)
    : slot(static_cast<std::size_t>(mask.key_tiles()), -1) {
  for (std::int32_t b = 0; b < mask.batch(); ++b) {
    for (std::int32_t h = 0; h < mask.heads(); ++h) {
      const TileLists lists = mask.lists(b, h);
      for (const std::int32_t tile : lists.full_tiles) slot[static_cast<std::size_t>(tile)] = 0;
      for (const std::int32_t tile : lists.partial_tiles) slot[static_cast<std::size_t>(tile)] = 0;
    }
  }
  for (std::int32_t tile = 0; tile < mask.key_tiles(); ++tile) {
    std::int32_t& place = slot[static_cast<std::size_t>(tile)];
    if (place < 0) continue;
    place = static_cast<std::int32_t>(tiles.size());
    tiles.push_back(tile);
  }
}

/// One call of forward: the sizes that depend on the tensors, and the steps of a wave.
class FlashPlan::Call {
 public:
  Call(const FlashPlan& plan, const ForwardArgs& args, Workspace& workspace);
  void run();

 private:
  [[nodiscard]] std::int64_t groups() const { return args_.k.batch() * args_.k.heads(); }
  [[nodiscard]] float* packed_keys(std::int64_t group, std::int32_t slot) const {
    return workspace_.packed.data() + static_cast<std::size_t>(group) * group_floats_ +
           static_cast<std::size_t>(slot) * tile_floats_;
  }
  [[nodiscard]] KeySet& unsound(std::int64_t group, std::int32_t slot) const {
    return workspace_.unsound[static_cast<std::size_t>(group) * plan_.used_.tiles.size() +
                              static_cast<std::size_t>(slot)];
  }
  [[nodiscard]] RowTile row_tile(int worker) const;

  void pack(std::int64_t first_group, std::int64_t group, std::int32_t slot, float* row) const;
  [[nodiscard]] std::vector<Task> tasks(std::int64_t first_group, std::int64_t count) const;
  void attend(std::int64_t first_group, const Task& task, RowTile tile) const;
  void find_unsound_rows(const Task& task, const TileLists& lists, RowSet& rows) const;

  const FlashPlan& plan_;
  const ForwardArgs& args_;
  Workspace& workspace_;
  const Kernels& kernels_;
  Layout layout_;
  std::int64_t heads_per_group_;
  std::size_t tile_floats_;   // packed K and V of a key tile
  std::size_t group_floats_;  // ... of all used key tiles
};

FlashPlan::Call::Call(const FlashPlan& plan, const ForwardArgs& args, Workspace& workspace)
    : plan_(plan),
      args_(args),
      workspace_(workspace),
      kernels_(kernels()),
      layout_{plan.mask_.tile().block_m, plan.mask_.tile().block_n,
              static_cast<std::int32_t>(args.q.width()), kernels_.lanes},
      heads_per_group_(args.q.heads() / args.k.heads()),
      tile_floats_(layout_.packed_keys() + layout_.packed_values()),
      group_floats_(tile_floats_ * plan.used_.tiles.size()) {}

RowTile FlashPlan::Call::row_tile(int worker) const {
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

void FlashPlan::Call::pack(std::int64_t first_group, std::int64_t group, std::int32_t slot,
                           float* row) const {
  const std::int64_t b = (first_group + group) / args_.k.heads();
  const std::int64_t h = (first_group + group) % args_.k.heads();
  const std::int32_t first = plan_.used_.tiles[static_cast<std::size_t>(slot)] * layout_.block_n;
  const std::int32_t count = std::min(layout_.block_n, plan_.mask_.n_k() - first);
  float* const keys = packed_keys(group, slot);
  kernels_.pack_keys(layout_, HeadRows(args_.k, b, h, plan_.kv_order_), first, count, row, keys);
  kernels_.pack_values(layout_, HeadRows(args_.v, b, h, plan_.kv_order_), first, count, row,
                       keys + layout_.packed_keys(), unsound(group, slot));
}

std::vector<Task> FlashPlan::Call::tasks(std::int64_t first_group, std::int64_t count) const {
  std::vector<Task> all;
  all.reserve(static_cast<std::size_t>(count * heads_per_group_ * plan_.mask_.row_tiles()));
  for (std::int64_t group = 0; group < count; ++group) {
    const std::int64_t b = (first_group + group) / args_.k.heads();
    const std::int64_t first_head = (first_group + group) % args_.k.heads() * heads_per_group_;
    for (std::int64_t h = first_head; h < first_head + heads_per_group_; ++h) {
      const TileLists lists = plan_.mask_.lists(b, h);
      for (std::int32_t t = 0; t < plan_.mask_.row_tiles(); ++t) {
        const std::size_t weight = lists.full(t).size() + lists.partial(t).size();
        all.push_back({static_cast<std::int32_t>(group), static_cast<std::int32_t>(h), t,
                       static_cast<std::int64_t>(weight)});
      }
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Task& a, const Task& b) { return a.weight > b.weight; });
  return all;
}

void FlashPlan::Call::attend(std::int64_t first_group, const Task& task, RowTile tile) const {
  constexpr double kLog2e = 1.44269504088896340736;
  const BlockMask& mask = plan_.mask_;
  const std::int64_t b = (first_group + task.group) / args_.k.heads();
  const std::int32_t first_row = task.row_tile * layout_.block_m;
  tile.rows = std::min(layout_.block_m, mask.n_q() - first_row);
  kernels_.begin(layout_, HeadRows(args_.q, b, task.head, plan_.q_order_), first_row,
                 static_cast<float>(softmax_scale(args_.scale, args_.q.width()) * kLog2e), tile);

  const auto key_tile = [&](std::int32_t index) {
    const float* const keys =
        packed_keys(task.group, plan_.used_.slot[static_cast<std::size_t>(index)]);
    const std::int32_t cols = std::min(layout_.block_n, mask.n_k() - index * layout_.block_n);
    return KeyTile{keys, keys + layout_.packed_keys(), cols, nullptr};
  };
  const TileLists lists = mask.lists(b, task.head);
  for (const std::int32_t index : lists.full(task.row_tile)) {
    kernels_.visit(layout_, key_tile(index), tile);
  }
  std::int64_t slot = lists.partial_offsets[static_cast<std::size_t>(task.row_tile)];
  for (const std::int32_t index : lists.partial(task.row_tile)) {
    KeyTile keys = key_tile(index);
    keys.bits = lists.partial_bits.data() + slot++ * (mask.bits_per_tile() / 8);
    kernels_.visit(layout_, keys, tile);
  }

  RowSet unsound_rows;
  find_unsound_rows(task, lists, unsound_rows);
  const HeadRows o(args_.o, b, task.head, plan_.q_order_);
  for (std::int32_t r = 0; r < tile.rows; ++r) {
    const std::int32_t i = first_row + r;
    const std::int32_t place = plan_.q_order_[i];
    float* lse = nullptr;
    if (args_.lse.data != nullptr) {
      lse = static_cast<float*>(args_.lse.data) + row_offset(args_.lse, b, task.head, place);
    }
    // Whatever is not finite, and rows without a key, are settled exactly, row by row.
    if (unsound_rows[static_cast<std::size_t>(r)] ||
        !kernels_.finish(layout_, tile, r, o, i, lse)) {
      ExactRow(args_, mask, plan_.kv_order_).attend(b, task.head, i, place);
    }
  }
}

/// The rows that allow a key whose value is not finite.
void FlashPlan::Call::find_unsound_rows(const Task& task, const TileLists& lists,
                                        RowSet& rows) const {
  const auto none = [](const KeySet& keys) {
    return std::all_of(keys.begin(), keys.end(), [](std::uint8_t byte) { return byte == 0; });
  };
  const auto unsound_keys = [&](std::int32_t index) -> const KeySet& {
    return unsound(task.group, plan_.used_.slot[static_cast<std::size_t>(index)]);
  };
  for (const std::int32_t index : lists.full(task.row_tile)) {
    if (!none(unsound_keys(index))) rows.set();
  }
  const auto row_bytes = static_cast<std::size_t>(layout_.block_n / 8);
  const auto block_m = static_cast<std::size_t>(layout_.block_m);
  const std::uint8_t* bits =
      lists.partial_bits.data() + lists.partial_offsets[static_cast<std::size_t>(task.row_tile)] *
                                      (plan_.mask_.bits_per_tile() / 8);
  for (const std::int32_t index : lists.partial(task.row_tile)) {
    const KeySet& keys = unsound_keys(index);
    if (!none(keys)) {
      for (std::size_t byte = 0; byte < row_bytes * block_m; ++byte) {
        if ((bits[byte] & keys[byte % row_bytes]) != 0) rows.set(byte / row_bytes);
      }
    }
    bits += row_bytes * block_m;
  }
}

void FlashPlan::Call::run() {
  const auto threads = static_cast<std::size_t>(plan_.threads_);
  if (workspace_.row_tiles.size() < threads) workspace_.row_tiles.resize(threads);
  const std::size_t fitting = group_floats_ == 0 ? SIZE_MAX : kWaveFloats / group_floats_;
  const std::int64_t wave = static_cast<std::int64_t>(
      std::clamp<std::size_t>(fitting, 1, static_cast<std::size_t>(groups())));
  workspace_.packed.require(static_cast<std::size_t>(wave) * group_floats_);

  const auto used = static_cast<std::int64_t>(plan_.used_.tiles.size());
  workspace_.unsound.resize(static_cast<std::size_t>(wave * used));
  for (std::int64_t first = 0; first < groups(); first += wave) {
    const std::int64_t count = std::min(wave, groups() - first);
    parallel_for(plan_.threads_, count * used, [&](std::int64_t index, int worker) {
      pack(first, index / used, static_cast<std::int32_t>(index % used), row_tile(worker).row);
    });
    const std::vector<Task> todo = tasks(first, count);
    parallel_for(plan_.threads_, static_cast<std::int64_t>(todo.size()),
                 [&](std::int64_t index, int worker) {
                   attend(first, todo[static_cast<std::size_t>(index)], row_tile(worker));
                 });
  }
}

void FlashPlan::forward(const ForwardArgs& args) const {
  validate(args, mask_);
  std::unique_ptr<Workspace> workspace = workspaces_.take();
  Call(*this, args, *workspace).run();
  workspaces_.give_back(std::move(workspace));
}

class CpuBackend final : public Backend {
 public:
  const BackendInfo& info() const override { return info_; }

  std::optional<std::string> supports(const ForwardArgs&, const BlockMask&) const override {
    return std::nullopt;
  }

  std::unique_ptr<Plan> prepare(const BlockMask& mask,
                                const PrepareOptions& options) const override {
    return std::make_unique<FlashPlan>(mask, options);
  }

 private:
  BackendInfo info_{.name = "cpu",
                    .summary = std::string("tiled online softmax in fp32, ") + kernels().target,
                    .unavailable = ""};
};

}  // namespace
}  // namespace attn::cpu

namespace attn {

const Backend& cpu_backend() {
  static const cpu::CpuBackend instance;
  return instance;
}

}  // namespace attn

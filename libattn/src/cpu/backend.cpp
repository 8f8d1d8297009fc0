// SPDX-License-Identifier: Apache-2.0
#include "arguments.hpp"
#include "attn/attention.hpp"
#include "backends.hpp"
#include "cpu/flash.hpp"
#include "cpu/forms.hpp"
#include "cpu/host_backend.hpp"
#include "cpu/kernels.hpp"
#include "parallel.hpp"

namespace attn::cpu {

PreparedMask::PreparedMask(const BlockMask& block_mask, const PrepareOptions& options)
    : mask(block_mask),
      walk(mask, options.algorithm),
      threads(thread_count(options.threads)),
      q_order(options.q_order, mask.n_q(), "q_order"),
      kv_order(options.kv_order, mask.n_k(), "kv_order"),
      slot(static_cast<std::size_t>(mask.key_tiles()), -1) {
  for (std::int32_t b = 0; b < mask.batch(); ++b) {
    for (std::int32_t h = 0; h < mask.heads(); ++h) {
      for (std::int32_t t = 0; t < mask.row_tiles(); ++t) {
        walk.row(mask, b, h, t, [&](std::int32_t tile, const std::uint8_t*) {
          slot[static_cast<std::size_t>(tile)] = 0;
        });
      }
    }
  }
  for (std::int32_t tile = 0; tile < mask.key_tiles(); ++tile) {
    std::int32_t& place = slot[static_cast<std::size_t>(tile)];
    if (place < 0) continue;
    place = static_cast<std::int32_t>(used_tiles.size());
    used_tiles.push_back(tile);
  }
  if (options.backward) transposed.emplace(mask);
}

namespace {

class FlashPlan final : public Plan {
 public:
  FlashPlan(const BlockMask& mask, const PrepareOptions& options) : prepared_(mask, options) {}

  void forward(const ForwardArgs& args) const override {
    validate(args, prepared_.mask);
    std::unique_ptr<Workspace> workspace = workspaces_.take();
    flash_forward(prepared_, args, *workspace);
    workspaces_.give_back(std::move(workspace));
  }

  void backward(const BackwardArgs& args) const override {
    check_prepared(prepared_.transposed.has_value());
    validate(args, prepared_.mask);
    check_workspace(args.workspace, args.workspace_bytes, backward_workspace(args));
    flash_backward(prepared_, args);
  }

  std::size_t backward_workspace(const BackwardArgs& args) const override {
    return flash_backward_workspace(prepared_, args);
  }

 private:
  PreparedMask prepared_;
  mutable Pool<Workspace> workspaces_;
};

class CpuBackend final : public HostBackend {
 public:
  CpuBackend()
      : HostBackend({.name = "cpu",
                     .summary = std::string("tiled online softmax in fp32, ") + kernels().target,
                     .unavailable = "",
                     .split = true,
                     .gathered = true}) {}

  std::unique_ptr<Plan> prepare(const BlockMask& mask,
                                const PrepareOptions& options) const override {
    check_kernel_tile("cpu", options, mask.tile());
    return std::make_unique<FlashPlan>(mask, options);
  }
  std::unique_ptr<Plan> prepare(const SplitMask& mask,
                                const PrepareOptions& options) const override {
    return make_split_plan(mask, options);
  }
  std::unique_ptr<Plan> prepare(const GatheredMask& mask,
                                const PrepareOptions& options) const override {
    return make_gathered_plan(mask, options);
  }
};

}  // namespace
}  // namespace attn::cpu

namespace attn {

const Backend& cpu_backend() {
  static const cpu::CpuBackend instance;
  return instance;
}

}  // namespace attn

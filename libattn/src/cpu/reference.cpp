// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <vector>

#include "allowed.hpp"
#include "arguments.hpp"
#include "attn/attention.hpp"
#include "backends.hpp"
#include "cpu/exact_gradients.hpp"
#include "cpu/exact_row.hpp"
#include "cpu/host_backend.hpp"
#include "order.hpp"
#include "parallel.hpp"

namespace attn {
namespace {

/// The oracle: every query by itself, in fp64, over its allowed keys.
class ReferencePlan final : public Plan {
 public:
  ReferencePlan(const BlockMask& mask, const PrepareOptions& options)
      : mask_(mask),
        threads_(thread_count(options.threads)),
        q_order_(options.q_order, mask.n_q(), "q_order"),
        kv_order_(options.kv_order, mask.n_k(), "kv_order") {
    if (options.backward) transposed_.emplace(mask_);
  }

  void forward(const ForwardArgs& args) const override {
    validate(args, mask_);
    const std::int64_t n_q = mask_.n_q();
    const std::int64_t heads = args.q.heads();
    std::vector<ExactRow> workers(static_cast<std::size_t>(threads_),
                                  ExactRow(args, mask_, kv_order_));
    parallel_for(threads_, args.q.batch() * heads * n_q, [&](std::int64_t task, int worker) {
      const auto i = static_cast<std::int32_t>(task % n_q);
      workers[static_cast<std::size_t>(worker)].attend(task / n_q / heads, task / n_q % heads, i,
                                                       q_order_[i]);
    });
  }

  void backward(const BackwardArgs& args) const override {
    check_prepared(transposed_.has_value());
    validate(args, mask_);
    std::vector<ExactGradients> workers(
        static_cast<std::size_t>(threads_),
        ExactGradients(args, mask_, *transposed_, q_order_, kv_order_));
    const auto each_row = [&](std::int64_t heads, std::int64_t rows, auto work) {
      parallel_for(threads_, args.q.batch() * heads * rows, [&](std::int64_t task, int worker) {
        work(workers[static_cast<std::size_t>(worker)], task / rows / heads, task / rows % heads,
             static_cast<std::int32_t>(task % rows));
      });
    };
    each_row(args.q.heads(), mask_.n_q(),
             [](ExactGradients& worker, auto b, auto h, auto i) { worker.query(b, h, i); });
    each_row(args.k.heads(), mask_.n_k(),
             [](ExactGradients& worker, auto b, auto h, auto j) { worker.key(b, h, j); });
  }

  std::size_t backward_workspace(const BackwardArgs&) const override { return 0; }

 private:
  BlockMask mask_;
  int threads_;
  Order q_order_;
  Order kv_order_;
  std::optional<TransposedMask> transposed_;
};

class ReferenceBackend final : public HostBackend {
 public:
  ReferenceBackend()
      : HostBackend(
            {.name = "reference", .summary = "fp64, naive: the oracle", .unavailable = ""}) {}

  std::unique_ptr<Plan> prepare(const BlockMask& mask,
                                const PrepareOptions& options) const override {
    check_kernel_tile("reference", options, mask.tile());
    return std::make_unique<ReferencePlan>(mask, options);
  }
};

}  // namespace

const Backend& reference_backend() {
  static const ReferenceBackend instance;
  return instance;
}

}  // namespace attn

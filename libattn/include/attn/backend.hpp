// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attn/block_mask.hpp"
#include "attn/mask_forms.hpp"
#include "attn/tensor.hpp"

namespace attn {

class DeviceBlockMask;

/// Exact masked attention, O = softmax(scale · Q Kᵀ over the allowed keys) V.
///
/// Q, O are [B, Hq, Nq, D]; K, V are [B, Hkv, Nk, D] with Hq a multiple of Hkv (grouped queries:
/// query head h reads key head h / (Hq / Hkv)). LSE is f32 [B, Hq, Nq, 1], the natural logarithm
/// of Σ exp(scale · q·k); leave its data null when it is not wanted. Q, K, V, O have one dtype.
///
/// A query with no allowed key gives O = 0 and LSE = −inf. A NaN or Inf in K or V at key j never
/// reaches a query that does not allow j.
struct ForwardArgs {
  TensorView q, k, v, o;
  TensorView lse{};
  std::optional<float> scale{};  ///< default 1/√D; must be finite

  /// At least Plan::forward_workspace bytes of the backend's memory on a boundary of
  /// kWorkspaceAlignment, for this call alone until it (or its stream) is through. What it holds
  /// before and after means nothing. Null: the plan keeps memory of its own, one piece a stream,
  /// which the first call that needs so much allocates; a call inside a stream capture takes what
  /// is there, and when that is too little it follows orders several times slower and cuts no long
  /// row, which may change the last bits of its results.
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;

  void* stream = nullptr;  ///< a cudaStream_t for device backends; others ignore it
};

/// The gradients of a loss with respect to Q, K and V, given dO, its gradient with respect to O:
///
///     P = exp(scale · Q Kᵀ − LSE) over the allowed pairs      dV = Pᵀ dO
///     dS = P ∘ (dO Vᵀ − D), D = Σ_d dO ∘ O                     dQ = scale · dS K
///                                                             dK = scale · dSᵀ Q
///
/// Shapes and dtypes are forward's: dO and dQ are like Q; dK and dV like K, each the sum over the
/// query heads that share the key head. O and LSE are what forward wrote for the same Q, K, V,
/// mask and scale, and LSE must be there. Outputs may overlap neither each other nor the inputs.
///
/// A query with no allowed key has dQ = 0, a key that no query allows dK = dV = 0. A NaN or Inf in
/// row i of Q, O, dO or LSE never reaches dK or dV of a key that i does not allow, nor does one in
/// row j of K or V reach dQ of a query that does not allow j.
struct BackwardArgs {
  TensorView q, k, v, o, d_o, lse;  ///< read
  TensorView dq, dk, dv;            ///< written
  std::optional<float> scale{};     ///< as in forward

  /// The same bits on every run, whatever the number of threads. A backend that has a faster way
  /// without this promise takes it when false; the others ignore it.
  bool deterministic = true;

  /// At least Plan::backward_workspace bytes of the backend's memory on a boundary of
  /// kWorkspaceAlignment, for this call alone until it (or its stream) is through. What it holds
  /// before and after means nothing.
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;

  void* stream = nullptr;  ///< a cudaStream_t for device backends; others ignore it
};

/// Bytes; Backend::allocate gives no less.
inline constexpr std::size_t kWorkspaceAlignment = 64;

struct BackendInfo {
  std::string name;
  std::string summary;
  std::string unavailable;     ///< why it cannot run in this build on this machine; "" when it can
  bool device_memory = false;  ///< tensors must lie in memory from Backend::allocate
  bool split = false;          ///< runs a SplitMask
  bool gathered = false;       ///< runs a GatheredMask
};

/// What a forward call goes through, and its time goes by.
struct Walk {
  TileShape part;  ///< what of a mask is passed over where it is empty
  TileShape step;  ///< queries × keys that are taken together when any part of them is not; its
                   ///< queries are whole parts
  /// A row of steps is halved along its keys until no part takes more of them than this, than 4
  /// mean rows, and than a processor's share of one head. 0: rows are taken whole.
  std::int64_t shortest_cut = 0;
  int processors = 1;
};

/// How a plan walks the key tiles of a row tile, and the row tiles of a key tile for dK and dV. The
/// answer is the same by all of them. `lists` is what this library is for; the others are what it
/// is measured against, after Sharma and Geiping, arXiv 2409.15097, sections 2 and 3, on the same
/// kernels and with the same care.
enum class Algorithm {
  lists,      ///< the full and the partial tiles by their lists; bits are read for partial ones
  dense,      ///< every tile and no bits: flash attention without a mask, for masks that allow all
  naive,      ///< every tile, and the bits of each
  bbm,        ///< a scan over one flag a tile, and the bits of each tile that is not empty
  dense_bbm,  ///< the same, but no bits for the first run of full tiles of a row tile
};

/// "lists", "dense", "naive", "bbm", "dense_bbm".
[[nodiscard]] std::string_view to_string(Algorithm algorithm) noexcept;

/// Throws Error{unknown_name}, listing the names there are.
[[nodiscard]] Algorithm parse_algorithm(std::string_view name);

struct PrepareOptions {
  int threads = 0;  ///< CPU threads; 0 means all

  /// Others than `lists` cost memory of n_q · n_k / 8 bytes or less; the backend `reference` walks
  /// by its own way whatever is asked. `prepare` throws Error{unsupported} for them and a mask
  /// built on the device, split or gathered, and Error{invalid_argument} for `dense` and a mask
  /// that does not allow all.
  Algorithm algorithm = Algorithm::lists;

  /// Where the mask's rows (columns) stand in the tensors, new_to_old; empty when the mask is in
  /// the tensors' own order. Row i of the mask is row q_order[i] of Q, O and LSE; column j is row
  /// kv_order[j] of K and V: the caller's tensors stay as they are. `prepare` copies both and
  /// throws Error{invalid_argument} unless they are permutations of the right length.
  std::span<const std::int32_t> q_order{};
  std::span<const std::int32_t> kv_order{};

  /// Also make ready for Plan::backward, which refuses otherwise.
  bool backward = false;

  /// The tiles, in queries x keys, that the forward kernel computes in; absent: the backend
  /// chooses by the mask. A backend with one kernel has the mask's own tiles alone. `prepare`
  /// throws Error{unsupported}, with the tiles there are, where no kernel has these, and `forward`
  /// where none has them for the tensors' dtype and head_dim.
  std::optional<TileShape> kernel_tile{};

  /// Passes over the mask in which `backward` makes the gradients, where a backend has both ways:
  /// 2, dQ apart from dK and dV; 1, all at once, with dQ summed up in the workspace; 0, as the
  /// backend chooses by the mask and the tensors. One pass is not for masks built on the device nor
  /// for orders whose rows are loaded where they lie: they take two whatever is asked. `prepare`
  /// throws Error{invalid_argument} for other numbers.
  int backward_passes = 0;
};

/// A mask made ready for one backend. Holds all that `forward` and `backward` need, so that a call
/// with a workspace neither allocates device memory nor waits for the device.
class Plan {
 public:
  virtual ~Plan() = default;

  /// Throws Error{invalid_argument} when shapes, dtypes or the scale do not fit each other or the
  /// mask or a workspace is given that is too small, Error{unsupported} with Backend::supports'
  /// sentence otherwise. May be called from several threads at once, each with a workspace of its
  /// own or none.
  virtual void forward(const ForwardArgs& args) const = 0;

  /// Bytes of workspace that `forward` needs for tensors of these shapes and dtypes; their memory
  /// is not looked at and may be null. 0 is usual. What needs memory on a device are orders in the
  /// call, a copy of Q (q_order) and of K and V (kv_order), or of a few of their rows where the
  /// order consists of arithmetic progressions; and queries with far more keys than others, which
  /// are cut along their keys: at most one O in fp32. To be asked again when the mask of the plan
  /// was built again on the device.
  [[nodiscard]] virtual std::size_t forward_workspace(const ForwardArgs& args) const;

  /// Throws what forward throws, and Error{invalid_argument} when the workspace is too small or the
  /// plan was prepared without PrepareOptions::backward. Orders hold as in forward: dQ is written
  /// where Q stands, dK and dV where K and V stand. May be called from several threads at once,
  /// each with a workspace of its own.
  virtual void backward(const BackwardArgs& args) const;

  /// Bytes of workspace that `backward` needs for tensors of these shapes and dtypes; their memory
  /// is not looked at and may be null. 0 is possible. On a device a little over 8 bytes a query and
  /// head, and in one pass beside it one dQ in fp32. With orders in the call also copies of Q and
  /// dO (q_order) and of K and V (kv_order), or of a few of their rows, made for some heads at a
  /// time, so that all together is at most one dQ in fp32, its rows up to whole tiles of 128 (one
  /// dK where there are more keys than queries), or what one head of K and V needs with its heads
  /// of Q.
  [[nodiscard]] virtual std::size_t backward_workspace(const BackwardArgs& args) const;
};

/// Memory that a backend's tensors live in; freed by the destructor.
using Buffer = std::unique_ptr<void, std::function<void(void*)>>;

class Backend {
 public:
  virtual ~Backend() = default;

  [[nodiscard]] virtual const BackendInfo& info() const = 0;

  /// Nothing when this backend can run these arguments under this mask, or a sentence why not.
  [[nodiscard]] virtual std::optional<std::string> supports(const ForwardArgs& args,
                                                            const BlockMask& mask) const = 0;
  /// The same for the backward pass. The default says that the backend has none.
  [[nodiscard]] virtual std::optional<std::string> supports(const BackwardArgs& args,
                                                            const BlockMask& mask) const;

  /// How masks of these tiles that are mostly empty are walked through, for predictions. The
  /// default is tile by tile.
  [[nodiscard]] virtual Walk walk(TileShape tile, std::int64_t head_dim) const;

  /// How many rows of a tensor a call copies in order to follow this order, new_to_old, of them,
  /// for predictions. The default is all.
  [[nodiscard]] virtual std::int64_t rows_copied(std::span<const std::int32_t> order) const;

  /// The mask is copied as far as needed; it may die before the plan. Throws Error{no_device}
  /// where info().unavailable says so.
  [[nodiscard]] virtual std::unique_ptr<Plan> prepare(const BlockMask& mask,
                                                      const PrepareOptions& options = {}) const = 0;

  /// For a mask that the device has built. The plan shares it, and follows when it is built again.
  /// Throws Error{unsupported} for a backend that takes masks from the host alone.
  [[nodiscard]] virtual std::unique_ptr<Plan> prepare(const DeviceBlockMask& mask,
                                                      const PrepareOptions& options = {}) const;

  /// The same for the other forms of a mask, forward pass alone. The defaults throw
  /// Error{unsupported}, as these do where the backward pass is asked for.
  [[nodiscard]] virtual std::unique_ptr<Plan> prepare(const SplitMask& mask,
                                                      const PrepareOptions& options = {}) const;
  [[nodiscard]] virtual std::unique_ptr<Plan> prepare(const GatheredMask& mask,
                                                      const PrepareOptions& options = {}) const;

  /// 64-byte aligned memory that this backend's tensors may live in, and copies to and from the
  /// host. The defaults serve host backends.
  [[nodiscard]] virtual Buffer allocate(std::size_t bytes) const;
  virtual void copy_in(void* destination, const void* host_source, std::size_t bytes) const;
  virtual void copy_out(void* host_destination, const void* source, std::size_t bytes) const;

  /// Runs `work` once per sample and returns the seconds of each, by the host's steady clock or
  /// by device events around it.
  [[nodiscard]] virtual std::vector<double> time(const std::function<void()>& work,
                                                 int samples) const;
};

/// Every backend of backends.def, whether it can run here or not.
[[nodiscard]] std::span<const Backend* const> backends();

/// Throws Error{unknown_name}, listing the names there are.
[[nodiscard]] const Backend& backend(std::string_view name);

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
//
// An order on the device, with the boxes by which it is loaded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "attn/tensor.hpp"
#include "cuda/hopper/operands.hpp"
#include "cuda/hopper/params.hpp"
#include "cuda/hopper/row_boxes.hpp"
#include "cuda/hopper/row_copies.hpp"
#include "cuda/hopper/tensor_map.hpp"
#include "cuda/runtime.hpp"

namespace attn::hopper {

class DeviceOrder {
 public:
  /// Empty: rows stand as the mask has them.
  explicit DeviceOrder(std::span<const std::int32_t> new_to_old) : order_(new_to_old) {
    if (new_to_old.empty()) return;
    const RowBoxes boxes = find_row_boxes(new_to_old);
    in_place_ = boxes.serve(new_to_old.size());
    if (!in_place_) return;
    stride_ = boxes.stride;
    boxes_ = cuda::DeviceArray<RowBox>(std::span(boxes.boxes));
    copy_ = cuda::DeviceArray<std::int32_t>(std::span(boxes.copy));
  }

  /// new_to_old, or null.
  [[nodiscard]] const std::int32_t* data() const noexcept { return order_.data(); }
  [[nodiscard]] bool exists() const noexcept { return order_.data() != nullptr; }

  /// Whether the kernels load it by boxes.
  [[nodiscard]] bool in_place() const noexcept { return in_place_; }

  /// The rows of a tensor that are copied for that, and for all others: the whole tensor in order.
  [[nodiscard]] std::int64_t copied_rows() const noexcept {
    return static_cast<std::int64_t>(in_place_ ? copy_.size() : order_.size());
  }
  /// Of `pairs` heads of a tensor.
  [[nodiscard]] std::size_t copied_elements(const TensorView& tensor,
                                            std::int64_t pairs) const noexcept {
    return static_cast<std::size_t>(pairs * copied_rows() * tensor.width());
  }
  [[nodiscard]] std::size_t copied_elements(const TensorView& tensor) const noexcept {
    return copied_elements(tensor, tensor.batch() * tensor.heads());
  }

  /// Those rows of some heads, when they lie at `place`, as a part of such rows of all heads. Only
  /// that part may be touched.
  [[nodiscard]] TensorView copies(const TensorView& tensor, void* place,
                                  const PairRange& pairs) const {
    TensorView all = contiguous(place, tensor.dtype,
                                {tensor.batch(), tensor.heads(), copied_rows(), tensor.width()});
    all.strides[0] = pairs.batch_step() * all.strides[1];
    all.data = static_cast<std::uint16_t*>(place) - pairs.first * all.strides[1];
    return all;
  }
  [[nodiscard]] TensorView copies(const TensorView& tensor, void* place) const {
    return copies(tensor, place, all_pairs(tensor));
  }
  [[nodiscard]] RowCopy copy(const TensorView& tensor, void* place, const PairRange& pairs) const {
    return {.source = tensor.data,
            .strides = strides_of(tensor),
            .rows = in_place_ ? copy_.data() : order_.data(),
            .destination = place,
            .pairs = pairs,
            .n_rows = static_cast<std::int32_t>(copied_rows())};
  }
  [[nodiscard]] RowCopy copy(const TensorView& tensor, void* place) const {
    return copy(tensor, place, all_pairs(tensor));
  }

  [[nodiscard]] OrderedRows rows() const noexcept { return {boxes_.data(), stride_}; }

  /// The maps of a tensor for rows(), with copies() of it.
  [[nodiscard]] OrderedTensor maps(const TensorView& tensor, const TensorView& copied) const {
    OrderedTensor ordered{};
    ordered.maps[kStrided] = strided_map(tensor, stride_, kBoxRows);
    ordered.maps[kNatural] = strided_map(tensor, 1, kBoxRows);
    ordered.maps[kWhole] = strided_map(tensor, stride_, kQuadrant);
    if (copied_rows() != 0) {
      ordered.maps[kCopied] = strided_map(copied, 1, kBoxRows);
      ordered.maps[kWholeCopied] = strided_map(copied, 1, kQuadrant);
    }
    return ordered;
  }
  [[nodiscard]] OrderedTensor maps(const TensorView& tensor, void* place) const {
    return maps(tensor, copies(tensor, place));
  }

 private:
  [[nodiscard]] static PairRange all_pairs(const TensorView& tensor) {
    const auto heads = static_cast<std::int32_t>(tensor.heads());
    return {0, static_cast<std::int32_t>(tensor.batch()) * heads, heads, 1};
  }

  cuda::DeviceArray<std::int32_t> order_;
  bool in_place_ = false;
  std::int32_t stride_ = 1;
  cuda::DeviceArray<RowBox> boxes_;
  cuda::DeviceArray<std::int32_t> copy_;
};

}  // namespace attn::hopper

// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/row_boxes.hpp"

#include <algorithm>
#include <map>

namespace attn::hopper {
namespace {

constexpr std::size_t kGroupsOfBlock = kQuadrant / kBoxGroup;

/// Whether the rows are first, first + stride, ...
bool progresses(std::span<const std::int32_t> rows, std::int32_t stride) {
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[i] - rows[i - 1] != stride) return false;
  }
  return true;
}

/// The step that most groups of 8 rows take throughout, 1 where none does.
std::int32_t common_stride(std::span<const std::int32_t> order) {
  std::map<std::int32_t, std::size_t> count;
  for (std::size_t i = 0; i + kBoxGroup <= order.size(); i += kBoxGroup) {
    const std::int32_t stride = order[i + 1] - order[i];
    if (stride > 0 && progresses(order.subspan(i, kBoxGroup), stride)) ++count[stride];
  }
  const auto most = std::max_element(
      count.begin(), count.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == count.end() ? 1 : most->first;
}

class BoxFinder {
 public:
  explicit BoxFinder(std::span<const std::int32_t> order)
      : order_(order), n_(static_cast<std::int32_t>(order.size())) {}

  [[nodiscard]] RowBoxes find() const {
    RowBoxes boxes;
    boxes.stride = common_stride(order_);
    const std::size_t blocks = (order_.size() + kQuadrant - 1) / kQuadrant;
    for (std::size_t b = 0; b < blocks; ++b) {
      const auto block = rows(b * kQuadrant, kQuadrant);
      if (fits(block, kQuadrant, boxes.stride)) {
        boxes.blocks.push_back(box(block[0], boxes.stride, RowSource::kStrided));
        continue;
      }
      boxes.blocks.push_back(
          {static_cast<std::int32_t>(boxes.groups.size()), kSplit << kSourceShift});
      for (std::size_t g = 0; g < kGroupsOfBlock; ++g) {
        boxes.groups.push_back(group(rows(b * kQuadrant + g * kBoxGroup, kBoxGroup), boxes));
      }
    }
    while (boxes.blocks.size() % kRowBoxPadding != 0) boxes.blocks.push_back(nothing());
    return boxes;
  }

 private:
  /// The rows at `count` places from `first` on, fewer where the order ends.
  [[nodiscard]] std::span<const std::int32_t> rows(std::size_t first, std::size_t count) const {
    first = std::min(first, order_.size());
    return order_.subspan(first, std::min(count, order_.size() - first));
  }

  /// Whether a box of `height` rows holds these, and zeros behind them.
  [[nodiscard]] bool fits(std::span<const std::int32_t> rows, int height,
                          std::int32_t stride) const {
    if (!progresses(rows, stride)) return false;
    const std::int32_t end = rows.back() / stride + 1;
    const std::int32_t part_rows = n_ / stride;
    return static_cast<int>(rows.size()) == height ? end <= part_rows : end == part_rows;
  }

  [[nodiscard]] static RowBox box(std::int32_t first, std::int32_t stride, RowSource source) {
    return {first / stride, static_cast<std::uint32_t>(first % stride) | source << kSourceShift};
  }
  /// Out of any map.
  [[nodiscard]] RowBox nothing() const { return {n_, RowSource::kStrided << kSourceShift}; }

  RowBox group(std::span<const std::int32_t> rows, RowBoxes& boxes) const {
    if (rows.empty()) return nothing();
    if (fits(rows, kBoxGroup, boxes.stride)) {
      return box(rows[0], boxes.stride, RowSource::kStrided);
    }
    if (fits(rows, kBoxGroup, 1)) return box(rows[0], 1, RowSource::kNatural);
    const auto place = static_cast<std::int32_t>(boxes.copy.size());
    boxes.copy.insert(boxes.copy.end(), rows.begin(), rows.end());
    boxes.copy.resize(static_cast<std::size_t>(place) + kBoxGroup, kNoRow);
    return box(place, 1, RowSource::kCopied);
  }

  std::span<const std::int32_t> order_;
  std::int32_t n_;
};

}  // namespace

RowBoxes find_row_boxes(std::span<const std::int32_t> order) {
  return BoxFinder(order).find();
}

}  // namespace attn::hopper

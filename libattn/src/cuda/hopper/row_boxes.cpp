// SPDX-License-Identifier: Apache-2.0
#include "cuda/hopper/row_boxes.hpp"

#include <algorithm>
#include <map>

namespace attn::hopper {
namespace {

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
  for (std::size_t i = 0; i + kBoxRows <= order.size(); i += kBoxRows) {
    const std::int32_t stride = order[i + 1] - order[i];
    if (stride > 0 && progresses(order.subspan(i, kBoxRows), stride)) ++count[stride];
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
    RowBoxes result;
    result.stride = common_stride(order_);
    constexpr std::size_t kStep = kRowBoxPadding * kQuadrant;
    for (std::size_t first = 0; first < (order_.size() + kStep - 1) / kStep * kStep;
         first += kQuadrant) {
      const auto block = rows(first, kQuadrant);
      const bool whole = fits(block, kQuadrant, result.stride);
      for (int b = 0; b < kBoxesOfBlock; ++b) {
        result.boxes.push_back(
            whole ? box(block[0], result.stride, kWhole)
                  : box_of(rows(first + static_cast<std::size_t>(b * kBoxRows), kBoxRows), result));
      }
    }
    return result;
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
    if (rows.empty() || !progresses(rows, stride)) return false;
    const std::int32_t end = rows.back() / stride + 1;
    const std::int32_t part_rows = n_ / stride;
    return static_cast<int>(rows.size()) == height ? end <= part_rows : end == part_rows;
  }

  [[nodiscard]] static RowBox box(std::int32_t first, std::int32_t stride, RowSource source) {
    return {first / stride, static_cast<std::uint32_t>(first % stride) | source << kSourceShift};
  }
  RowBox box_of(std::span<const std::int32_t> rows, RowBoxes& result) const {
    if (rows.empty()) return {n_, kStrided << kSourceShift};  // out of the map
    if (fits(rows, kBoxRows, result.stride)) return box(rows[0], result.stride, kStrided);
    if (fits(rows, kBoxRows, 1)) return box(rows[0], 1, kNatural);
    const auto place = static_cast<std::int32_t>(result.copy.size());
    result.copy.insert(result.copy.end(), rows.begin(), rows.end());
    result.copy.resize(static_cast<std::size_t>(place) + kBoxRows, kNoRow);
    return box(place, 1, kCopied);
  }

  std::span<const std::int32_t> order_;
  std::int32_t n_;
};

}  // namespace

RowBoxes find_row_boxes(std::span<const std::int32_t> order) {
  return BoxFinder(order).find();
}

}  // namespace attn::hopper

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
    const std::size_t blocks = (order_.size() + kQuadrant - 1) / kQuadrant;
    const auto block = [&](std::size_t b) { return rows(b * kQuadrant, kQuadrant); };
    const auto fits_whole = [&](std::size_t b) { return fits(block(b), kQuadrant, result.stride); };
    // Hubs stand at either end of an order, in blocks that all row tiles visit: copied whole, they
    // are one box each time.
    const std::size_t most = blocks < 8 ? 0 : blocks / 64 + 1;
    std::size_t first = 0, last = blocks;
    while (first < most && !fits_whole(first)) ++first;
    while (last > first && blocks - last < most && !fits_whole(last - 1)) --last;
    for (std::size_t b = 0; b < (blocks + kRowBoxPadding - 1) / kRowBoxPadding * kRowBoxPadding;
         ++b) {
      if (fits_whole(b)) {
        add(box(block(b)[0], result.stride, kWhole), result);
      } else if (b < first || (b >= last && b < blocks)) {
        add(copied(block(b), kQuadrant, kWholeCopied, result), result);
      } else {
        for (std::size_t at = b * kQuadrant; at < (b + 1) * kQuadrant; at += kBoxRows) {
          result.boxes.push_back(box_of(rows(at, kBoxRows), result));
        }
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
    return copied(rows, kBoxRows, kCopied, result);
  }

  static RowBox copied(std::span<const std::int32_t> rows, std::size_t height, RowSource source,
                       RowBoxes& result) {
    const std::size_t place = result.copy.size();
    result.copy.insert(result.copy.end(), rows.begin(), rows.end());
    result.copy.resize(place + height, kNoRow);
    return box(static_cast<std::int32_t>(place), 1, source);
  }

  /// A whole block's.
  static void add(const RowBox& box, RowBoxes& result) {
    result.boxes.insert(result.boxes.end(), kBoxesOfBlock, box);
  }

  std::span<const std::int32_t> order_;
  std::int32_t n_;
};

}  // namespace

RowBoxes find_row_boxes(std::span<const std::int32_t> order) {
  return BoxFinder(order).find();
}

}  // namespace attn::hopper

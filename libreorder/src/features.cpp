// SPDX-License-Identifier: Apache-2.0
#include "reorder/features.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "graph.hpp"
#include "random.hpp"

namespace reorder {
namespace {

constexpr std::int64_t kHub = 8;  // times the median degree
constexpr int kSample = 1000;
constexpr double kBandShare = 0.9;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

DegreeSpread spread_of(std::vector<std::int32_t> degrees) {
  DegreeSpread spread;
  spread.empty = static_cast<std::int64_t>(std::erase(degrees, 0));
  if (degrees.empty()) return spread;
  const auto middle = degrees.begin() + static_cast<std::ptrdiff_t>(degrees.size() / 2);
  std::nth_element(degrees.begin(), middle, degrees.end());
  spread.median = *middle;
  spread.max = *std::max_element(middle, degrees.end());
  spread.hubs = std::count_if(middle, degrees.end(),
                              [&](std::int64_t degree) { return degree > kHub * spread.median; });
  return spread;
}

/// Union-find over rows and columns, which are fewer than 2³² together. A root is the smallest
/// vertex of its part, so that the answer does not depend on the order of the entries.
class Parts {
 public:
  explicit Parts(const CsrView& mask)
      : mask_(mask),
        first_col_(mask.is_square() ? 0 : static_cast<std::uint32_t>(mask.n_rows)),
        parent_(at(std::int64_t{first_col_} + mask.n_cols)) {
    std::iota(parent_.begin(), parent_.end(), 0);
  }

  std::int32_t count() {
    for (std::int32_t row = 0; row < mask_.n_rows; ++row) {
      std::uint32_t root = find(static_cast<std::uint32_t>(row));
      for (const std::int32_t col : mask_.row(row)) {
        const std::uint32_t vertex = first_col_ + static_cast<std::uint32_t>(col);
        // Most entries join what is together already.
        if (parent_[vertex] != root) root = join(root, find(vertex));
      }
    }
    std::vector<bool> counted(parent_.size());
    std::int32_t parts = 0;
    for (std::int32_t row = 0; row < mask_.n_rows; ++row) {
      if (mask_.row(row).empty()) continue;
      const std::uint32_t root = find(static_cast<std::uint32_t>(row));
      parts += !counted[root];
      counted[root] = true;
    }
    return parts;
  }

 private:
  std::uint32_t find(std::uint32_t v) {
    while (parent_[v] != v) v = parent_[v] = parent_[parent_[v]];
    return v;
  }

  std::uint32_t join(std::uint32_t a, std::uint32_t b) {
    const auto [low, high] = std::minmax(a, b);
    parent_[high] = low;
    return low;
  }

  CsrView mask_;
  std::uint32_t first_col_;
  std::vector<std::uint32_t> parent_;
};

/// The share of what rows i and j have in common, besides i and j, of the shorter one. Nothing
/// where one has nothing else.
std::optional<double> alike(const CsrView& mask, std::int32_t i, std::int32_t j) {
  const auto others = [&](std::int32_t row) {
    const auto cols = mask.row(row);
    const auto has = [&](std::int32_t col) {
      return std::binary_search(cols.begin(), cols.end(), col);
    };
    return static_cast<std::int64_t>(cols.size()) - has(i) - has(j);
  };
  const std::int64_t fewest = std::min(others(i), others(j));
  if (fewest == 0) return std::nullopt;
  std::int64_t common = 0;
  const auto a = mask.row(i);
  const auto b = mask.row(j);
  for (auto p = a.begin(), q = b.begin(); p != a.end() && q != b.end();) {
    common += *p == *q && *p != i && *p != j;
    const std::int32_t least = std::min(*p, *q);
    p += *p == least;
    q += *q == least;
  }
  return static_cast<double>(common) / static_cast<double>(fewest);
}

void look_at_a_sample(const CsrView& mask, MaskFeatures& features) {
  Random random(0);
  const auto any_entry = [&] {
    // 53 bits are enough to reach each of any number of entries that fits a memory.
    const double share = static_cast<double>(random.next() >> 11) * 0x1p-53;
    return std::min(static_cast<std::int64_t>(share * static_cast<double>(mask.nnz())),
                    mask.nnz() - 1);
  };
  const auto& offsets = mask.row_offsets;
  const double slope = static_cast<double>(mask.n_cols) / mask.n_rows;
  std::vector<double> distances;
  int mirrored = 0;
  int causal = 0;
  int pairs = 0;
  double likeness = 0;
  for (int tried = 0; tried < kSample; ++tried) {
    const std::int64_t entry = any_entry();
    const auto row = static_cast<std::int32_t>(
        std::upper_bound(offsets.begin(), offsets.end(), entry) - offsets.begin() - 1);
    const std::int32_t col = mask.col_indices[at(entry)];
    causal += col <= row;
    distances.push_back(std::abs(col - slope * row));
    if (!mask.is_square()) continue;
    const auto back = mask.row(col);
    mirrored += std::binary_search(back.begin(), back.end(), row);
    if (col == row) continue;
    const std::optional<double> share = alike(mask, row, col);
    likeness += share.value_or(0);
    pairs += share.has_value();
  }
  const auto near = distances.begin() + static_cast<std::ptrdiff_t>(kBandShare * kSample);
  std::nth_element(distances.begin(), near, distances.end());
  features.band = *near / mask.n_cols;
  if (pairs > 0) features.likeness = likeness / pairs;
  features.mirrored = static_cast<double>(mirrored) / kSample;
  features.causal = static_cast<double>(causal) / kSample;
}

std::string count_of(std::int64_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string percent(double share) {
  return std::to_string(std::lround(100 * share)) + "%";
}

std::string text_of(const DegreeSpread& spread, const char* side) {
  std::string text = std::string(side) + " degrees: median " + std::to_string(spread.median) +
                     ", most " + std::to_string(spread.max) + ", " + count_of(spread.hubs, "hub");
  if (spread.empty > 0) text += ", " + std::to_string(spread.empty) + " empty";
  return text;
}

}  // namespace

MaskFeatures look_at(const CsrView& mask) {
  MaskFeatures features;
  features.n_rows = mask.n_rows;
  features.n_cols = mask.n_cols;
  features.nnz = mask.nnz();
  std::vector<std::int32_t> rows = row_degrees(mask);
  std::vector<std::int32_t> cols = col_degrees(mask);
  const bool equal_degrees = mask.is_square() && rows == cols;
  features.rows = spread_of(std::move(rows));
  features.cols = spread_of(std::move(cols));
  if (mask.nnz() == 0) {
    features.symmetric = mask.is_square();
    return features;
  }
  features.components = Parts(mask).count();
  look_at_a_sample(mask, features);
  features.symmetric = equal_degrees && features.mirrored == 1;
  return features;
}

std::string describe(const MaskFeatures& f) {
  if (f.nnz == 0) return "no entries";
  std::string text;
  if (!f.square()) {
    text = "rectangular";
  } else if (f.symmetric) {
    text = "symmetric";
  } else {
    text = percent(f.mirrored) + " mirrored";
  }
  if (f.square()) text += ", neighbours " + percent(f.likeness) + " alike";
  text += ", " + count_of(f.components, "component") + "; " + text_of(f.rows, "row") + "; " +
          text_of(f.cols, "column") + "; as it stands ";
  if (f.square()) text += percent(f.causal) + " causal, ";
  return text + "90% within " + percent(f.band) + " of the diagonal";
}

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
//
// Products with the keys of a tile, and what the mask says of them. Included once for every
// instruction set.
#if defined(ATTN_CPU_SCORES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTN_CPU_SCORES_INL_HPP
#undef ATTN_CPU_SCORES_INL_HPP
#else
#define ATTN_CPU_SCORES_INL_HPP
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/kernels.hpp"
#include "cpu/matmul-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace attn::cpu::HWY_NAMESPACE {

/// Layout::score_stride() as a constant.
inline constexpr std::size_t kScoreStride = 256 + kLanes;

/// scores = Q Kᵀ (or dO Vᵀ) for one group of rows.
struct Scores {
  const float* queries;
  const float* keys;
  std::size_t head_dim;
  float* scores;

  template <int kVectors>
  HWY_INLINE void run(std::size_t first) const {
    Vector sums[kRowGroup][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRowGroup; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(kFloats);
    }
    multiply_add<kVectors>(LeftFactor<1, kRowGroup>{queries}, keys + first * kLanes * head_dim,
                           kLanes * head_dim, head_dim, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRowGroup; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        hn::Store(sums[r][v], kFloats,
                  scores + static_cast<std::size_t>(r) * kScoreStride +
                      (first + static_cast<std::size_t>(v)) * kLanes);
      }
    }
  }
};

/// The mask of one group of rows, as whole vectors: padded keys are not allowed.
class GroupMask {
 public:
  /// `bits` is null when all is allowed.
  GroupMask(const Layout& layout, const std::uint8_t* bits, std::int32_t cols_inside)
      : bits_(bits), row_bytes_(static_cast<std::size_t>(layout.block_n / 8)) {
    const auto cols = static_cast<std::size_t>(cols_inside);
    copies_ = bits != nullptr && static_cast<std::size_t>(layout.block_n) % kLanes != 0;
    cut_ = bits == nullptr && cols % kLanes != 0;
    if (copies_ || cut_) std::memset(padded_, 0, sizeof padded_);
    if (cut_) {
      for (std::size_t j = 0; j < cols; ++j) {
        padded_[j / 8] = static_cast<std::uint8_t>(padded_[j / 8] | (1u << (j % 8)));
      }
    }
  }

  /// The bits of the group that starts at row r of the tile, or null when all is allowed.
  const std::uint8_t* at(std::size_t r) {
    if (cut_) return padded_;
    if (bits_ == nullptr) return nullptr;
    const std::uint8_t* const bits = bits_ + r * row_bytes_;
    if (!copies_) return bits;
    for (std::size_t row = 0; row < kRowGroup; ++row) {
      std::memcpy(padded_ + row * kPaddedBytes, bits + row * row_bytes_, row_bytes_);
    }
    return padded_;
  }
  /// Bytes from row to row of the group.
  std::size_t stride() const { return cut_ ? 0 : copies_ ? kPaddedBytes : row_bytes_; }

 private:
  static constexpr std::size_t kPaddedBytes = 256 / 8 + 8;
  const std::uint8_t* bits_;
  std::size_t row_bytes_;
  bool copies_;  // a vector would read beyond its row
  bool cut_;     // a full tile that does not fill its last vector
  std::uint8_t padded_[kRowGroup * kPaddedBytes];
};

}  // namespace attn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle

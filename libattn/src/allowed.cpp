// SPDX-License-Identifier: Apache-2.0
#include "allowed.hpp"

#include <algorithm>

namespace attn {
namespace {

bool has_bit(std::span<const std::uint8_t> bits, std::int64_t bit) {
  return ((bits[static_cast<std::size_t>(bit / 8)] >> (bit % 8)) & 1) != 0;
}

}  // namespace

TransposedMask::TransposedMask(const BlockMask& mask) : batch_(mask.batch()), heads_(mask.heads()) {
  for (std::int64_t b = 0; b < batch_; ++b) {
    for (std::int64_t h = 0; h < heads_; ++h) lists_.push_back(mask.transposed(b, h));
  }
}

void find_allowed_keys(const BlockMask& mask, std::int64_t b, std::int64_t h, std::int32_t i,
                       std::vector<std::int32_t>& keys) {
  const TileLists lists = mask.lists(b, h);
  const auto [block_m, block_n] = mask.tile();
  const std::int32_t row_tile = i / block_m;
  keys.clear();
  for (const std::int32_t tile : lists.full(row_tile)) {
    const std::int32_t first = tile * block_n;
    for (std::int32_t j = first; j < std::min(first + block_n, mask.n_k()); ++j) keys.push_back(j);
  }
  std::int64_t place = lists.partial_offsets[static_cast<std::size_t>(row_tile)];
  for (const std::int32_t tile : lists.partial(row_tile)) {
    const std::int64_t row_start = place++ * mask.bits_per_tile() + i % block_m * block_n;
    for (std::int32_t k = 0; k < block_n; ++k) {
      if (has_bit(lists.partial_bits, row_start + k)) keys.push_back(tile * block_n + k);
    }
  }
}

void find_allowing_queries(const BlockMask& mask, const TransposedMask& transposed, std::int64_t b,
                           std::int64_t h, std::int32_t j, std::vector<std::int32_t>& queries) {
  const TransposedLists& lists = transposed.lists(b, h);
  const std::span<const std::uint8_t> bits = mask.lists(b, h).partial_bits;
  const auto [block_m, block_n] = mask.tile();
  const std::int32_t key_tile = j / block_n;
  queries.clear();
  for (const std::int32_t tile : lists.full(key_tile)) {
    const std::int32_t first = tile * block_m;
    for (std::int32_t i = first; i < std::min(first + block_m, mask.n_q()); ++i) {
      queries.push_back(i);
    }
  }
  const std::span<const std::int32_t> partial = lists.partial(key_tile);
  for (std::size_t n = 0; n < partial.size(); ++n) {
    const std::int64_t column = lists.places(key_tile)[n] * mask.bits_per_tile() + j % block_n;
    for (std::int32_t r = 0; r < block_m; ++r) {
      if (has_bit(bits, column + std::int64_t{r} * block_n)) {
        queries.push_back(partial[n] * block_m + r);
      }
    }
  }
}

}  // namespace attn

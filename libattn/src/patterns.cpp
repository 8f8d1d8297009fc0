// SPDX-License-Identifier: Apache-2.0
#include "patterns.hpp"

#include <bit>
#include <string>

#include "attn/error.hpp"

namespace attn {
namespace {

void check_size(std::int32_t n_q, std::int32_t n_k, ErrorCode code) {
  if (n_q < 0 || n_k < 0) {
    throw Error(code, "a mask of " + std::to_string(n_q) + " queries and " + std::to_string(n_k) +
                          " keys: neither may be negative");
  }
}

/// The bits of `count` ≤ 8 keys that stand as bytes, or as bits from a byte boundary on.
std::uint8_t pack_bytes(const std::uint8_t* bytes, std::int64_t count) noexcept {
  unsigned packed = 0;
  for (std::int64_t i = 0; i < count; ++i) packed |= static_cast<unsigned>(bytes[i] != 0) << i;
  return static_cast<std::uint8_t>(packed);
}
std::uint8_t keep_low(std::uint8_t byte, std::int64_t count) noexcept {
  return static_cast<std::uint8_t>(byte & ((1u << std::min<std::int64_t>(count, 8)) - 1u));
}

}  // namespace

CsrSource::CsrSource(const CsrPattern& pattern) : csr_(pattern) {
  check_size(csr_.n_q, csr_.n_k, ErrorCode::invalid_mask);
  const auto fail = [](const std::string& sentence) {
    throw Error(ErrorCode::invalid_mask, "CSR mask: " + sentence);
  };
  const auto& offsets = csr_.offsets;
  if (offsets.size() != static_cast<std::size_t>(csr_.n_q) + 1) {
    fail(std::to_string(offsets.size()) + " offsets for " + std::to_string(csr_.n_q) +
         " rows; one more than rows is needed");
  }
  if (offsets.front() != 0) fail("offset 0 is " + std::to_string(offsets.front()) + ", not 0");
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] < offsets[i - 1]) {
      fail("offset " + std::to_string(i) + " is " + std::to_string(offsets[i]) +
           ", below the one before it, " + std::to_string(offsets[i - 1]));
    }
  }
  if (offsets.back() != static_cast<std::int64_t>(csr_.cols.size())) {
    fail("the last offset is " + std::to_string(offsets.back()) + ", but there are " +
         std::to_string(csr_.cols.size()) + " column indices");
  }
}

void CsrSource::report_bad_row(std::int64_t row) const {
  const auto begin = csr_.offsets[static_cast<std::size_t>(row)];
  const auto end = csr_.offsets[static_cast<std::size_t>(row) + 1];
  const auto cols =
      csr_.cols.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
  const std::string where = "CSR mask: row " + std::to_string(row) + " holds column ";
  for (std::size_t i = 0; i < cols.size(); ++i) {
    if (cols[i] < 0 || cols[i] >= csr_.n_k) {
      throw Error(ErrorCode::invalid_mask, where + std::to_string(cols[i]) + ", outside [0, " +
                                               std::to_string(csr_.n_k) + ")");
    }
    if (i > 0 && cols[i] <= cols[i - 1]) {
      throw Error(ErrorCode::invalid_mask, where + std::to_string(cols[i]) + " after " +
                                               std::to_string(cols[i - 1]) +
                                               "; columns must increase strictly");
    }
  }
  throw Error(ErrorCode::invalid_mask, where + "indices that changed while they were read");
}

void CsrSource::count(const TileGrid& grid, std::int64_t row_tile, TileCounts& counts) const {
  const std::int32_t* const cols = csr_.cols.data();
  const std::int64_t first_row = grid.row_begin(row_tile);
  for (std::int64_t row = first_row; row < first_row + grid.rows_in(row_tile); ++row) {
    const std::int64_t end = csr_.offsets[static_cast<std::size_t>(row) + 1];
    std::int64_t at = csr_.offsets[static_cast<std::size_t>(row)];
    std::int32_t previous = -1;
    // A run of columns inside one tile costs one division and one addition to the counts.
    while (at < end) {
      const std::int32_t first = cols[at];
      if (first <= previous || first >= csr_.n_k) report_bad_row(row);
      const std::int32_t tile = first / grid.block_n;
      const std::int64_t tile_end = std::int64_t{tile} * grid.block_n + grid.cols_in(tile);
      const std::int64_t run_begin = at;
      previous = first;
      for (++at; at < end && cols[at] < tile_end; ++at) {
        if (cols[at] <= previous) report_bad_row(row);
        previous = cols[at];
      }
      counts.add(tile, static_cast<std::int32_t>(at - run_begin));
    }
  }
}

void CsrSource::pack(const TileGrid& grid, std::int64_t row_tile, const TileSlots& slots) const {
  const std::int32_t* const cols = csr_.cols.data();
  const std::int64_t first_row = grid.row_begin(row_tile);
  const std::int64_t row_bytes = grid.block_n / 8;
  for (std::int64_t r = 0; r < grid.rows_in(row_tile); ++r) {
    const auto row = static_cast<std::size_t>(first_row + r);
    const std::int64_t end = csr_.offsets[row + 1];
    std::int64_t at = csr_.offsets[row];
    while (at < end) {
      const std::int32_t tile = cols[at] / grid.block_n;
      const std::int32_t tile_begin = tile * grid.block_n;
      const std::int64_t width = grid.cols_in(tile);
      std::uint8_t* const bits = slots[static_cast<std::size_t>(tile)];
      if (bits == nullptr) {  // a full tile: this row holds all its columns
        at += width;
        continue;
      }
      std::uint8_t* const row_bits = bits + r * row_bytes;
      for (; at < end && cols[at] - tile_begin < width; ++at) {
        const std::int32_t key = cols[at] - tile_begin;
        row_bits[key / 8] = static_cast<std::uint8_t>(row_bits[key / 8] | (1u << (key % 8)));
      }
    }
  }
}

DenseSource::DenseSource(const DensePattern& pattern) : dense_(pattern) {
  check_size(dense_.n_q, dense_.n_k, ErrorCode::invalid_argument);
  if (dense_.n_q == 0 || dense_.n_k == 0) return;
  if (dense_.data == nullptr) {
    throw Error(ErrorCode::invalid_argument, "dense mask: its data is a null pointer");
  }
  const bool bytes = dense_.format == DensePattern::Format::bytes;
  const std::int64_t row_bytes = bytes ? dense_.n_k : (std::int64_t{dense_.n_k} + 7) / 8;
  if (dense_.row_stride < row_bytes) {
    throw Error(ErrorCode::invalid_argument,
                "dense mask: a row stride of " + std::to_string(dense_.row_stride) +
                    " bytes is shorter than a row of " + std::to_string(row_bytes));
  }
}

void DenseSource::count(const TileGrid& grid, std::int64_t row_tile, TileCounts& counts) const {
  const bool bytes = dense_.format == DensePattern::Format::bytes;
  const std::int64_t first_row = grid.row_begin(row_tile);
  const std::int32_t key_tiles = (dense_.n_k + grid.block_n - 1) / grid.block_n;
  for (std::int64_t i = first_row; i < first_row + grid.rows_in(row_tile); ++i) {
    for (std::int32_t tile = 0; tile < key_tiles; ++tile) {
      const std::int64_t first_key = std::int64_t{tile} * grid.block_n;
      const std::int64_t width = grid.cols_in(tile);
      std::int32_t elements = 0;
      if (bytes) {
        const std::uint8_t* const keys = row(i) + first_key;
        for (std::int64_t k = 0; k < width; ++k) elements += keys[k] != 0;
      } else {
        const std::uint8_t* const keys = row(i) + first_key / 8;
        for (std::int64_t k = 0; k < width; k += 8) {
          elements += std::popcount(keep_low(keys[k / 8], width - k));
        }
      }
      if (elements != 0) counts.add(tile, elements);
    }
  }
}

void DenseSource::pack(const TileGrid& grid, std::int64_t row_tile, const TileSlots& slots) const {
  const bool bytes = dense_.format == DensePattern::Format::bytes;
  const std::int64_t first_row = grid.row_begin(row_tile);
  const std::int64_t row_bytes = grid.block_n / 8;
  for (std::int32_t tile = 0; tile < static_cast<std::int32_t>(slots.size()); ++tile) {
    std::uint8_t* const bits = slots[static_cast<std::size_t>(tile)];
    if (bits == nullptr) continue;
    const std::int64_t first_key = std::int64_t{tile} * grid.block_n;
    const std::int64_t width = grid.cols_in(tile);
    for (std::int64_t r = 0; r < grid.rows_in(row_tile); ++r) {
      const std::uint8_t* const source = row(first_row + r);
      for (std::int64_t k = 0; k < width; k += 8) {
        bits[r * row_bytes + k / 8] =
            bytes ? pack_bytes(source + first_key + k, std::min<std::int64_t>(width - k, 8))
                  : keep_low(source[(first_key + k) / 8], width - k);
      }
    }
  }
}

}  // namespace attn

// SPDX-License-Identifier: Apache-2.0
#include "experiments/tile_map.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "reorder/error.hpp"
#include "reorder/files.hpp"

namespace experiments {
namespace {

constexpr std::int64_t kMostTiles = std::int64_t{1} << 26;

/// How many of the tile's `size` places, beginning at `tile` · `size`, lie inside `total`.
std::int64_t extent(std::int64_t tile, std::int64_t size, std::int64_t total) {
  return std::min(size, total - tile * size);
}

}  // namespace

TileMap tile_map(const reorder::CsrView& pattern, const reorder::Ordering& ordering,
                 reorder::Tile tile) {
  TileMap map;
  map.rows = (std::int64_t{pattern.n_rows} + tile.rows - 1) / tile.rows;
  map.cols = (std::int64_t{pattern.n_cols} + tile.cols - 1) / tile.cols;
  if (map.rows * map.cols > kMostTiles) {
    throw reorder::Error(reorder::ErrorCode::too_large,
                         "a map of " + std::to_string(map.rows) + " x " + std::to_string(map.cols) +
                             " tiles is larger than 2^26 tiles; choose larger tiles");
  }
  std::vector<std::int64_t> counts(static_cast<std::size_t>(map.rows * map.cols), 0);
  const auto place = ordering.cols.inverse();
  for (std::int32_t i = 0; i < pattern.n_rows; ++i) {
    std::int64_t* row = counts.data() + std::int64_t{i / tile.rows} * map.cols;
    for (const std::int32_t column : pattern.row(ordering.rows[i]))
      ++row[place[column] / tile.cols];
  }
  map.fill.reserve(counts.size());
  for (std::int64_t t = 0; t < map.rows * map.cols; ++t) {
    const std::int64_t area = extent(t / map.cols, tile.rows, pattern.n_rows) *
                              extent(t % map.cols, tile.cols, pattern.n_cols);
    map.fill.push_back(static_cast<float>(counts[static_cast<std::size_t>(t)]) /
                       static_cast<float>(area));
  }
  return map;
}

void write_tile_map(const std::filesystem::path& file, const TileMap& map) {
  static_assert(std::endian::native == std::endian::little,
                "'<f4' is written as it lies in memory");
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                       std::to_string(map.rows) + ", " + std::to_string(map.cols) + "), }";
  // Magic, version, header length and header end on a multiple of 64 bytes with a newline (NEP 1).
  constexpr std::size_t kPreamble = 10;
  header.resize((kPreamble + header.size() + 1 + 63) / 64 * 64 - kPreamble - 1, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xFF);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(map.fill.data()), map.fill.size() * sizeof(float));
  reorder::write_file(file, bytes);
}

}  // namespace experiments

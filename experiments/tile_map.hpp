// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/objective.hpp"
#include "reorder/permutation.hpp"

namespace experiments {

/// The fill of every tile, 0 (empty) to 1 (full), row after row.
struct TileMap {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> fill;
};

/// Throws reorder::Error{too_large} above 64 Mi tiles: a picture of more shows nothing.
[[nodiscard]] TileMap tile_map(const reorder::CsrView& pattern, const reorder::Ordering& ordering,
                               reorder::Tile tile);

/// Writes a 2-d float32 .npy. Throws reorder::Error{bad_file}.
void write_tile_map(const std::filesystem::path& file, const TileMap& map);

}  // namespace experiments

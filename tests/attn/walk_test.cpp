// SPDX-License-Identifier: Apache-2.0
//
// What a backend says it walks through and copies, which records count and predictions go by.
#include <gtest/gtest.h>

#include <string>

#include "attn/backend.hpp"
#include "attn/orders.hpp"

namespace attn::test {
namespace {

constexpr TileShape kTiles[] = {{128, 128}, {64, 192}, {16, 8}};

void expect_tile_by_tile(const Backend& backend, std::int64_t head_dim) {
  for (const TileShape tile : kTiles) {
    const Walk walk = backend.walk(tile, head_dim);
    EXPECT_EQ(walk.part, tile) << backend.info().name << ", head_dim " << head_dim;
    EXPECT_EQ(walk.step, tile) << backend.info().name << ", head_dim " << head_dim;
  }
}

TEST(Walk, HostBackendsGoTileByTile) {
  for (const char* name : {"cpu", "reference"}) expect_tile_by_tile(backend(name), 64);
}

/// Also where there is no device: a prediction needs none.
TEST(Walk, HopperPassesOverQuadrantsOfItsOwnTiles) {
  const Backend& hopper = backend("hopper");
  if (hopper.info().unavailable == "built without CUDA") {
    return expect_tile_by_tile(hopper, 64);
  }
  for (const std::int64_t head_dim : {64, 128}) {
    for (const TileShape tile : kTiles) {
      const Walk walk = hopper.walk(tile, head_dim);
      EXPECT_EQ(walk.part, (TileShape{64, 64})) << head_dim;
      // The kernel's own tiles, whatever the mask's are: whole quadrants, more than one.
      EXPECT_EQ(walk.step, hopper.walk({}, head_dim).step) << head_dim;
      EXPECT_EQ(walk.step.block_m % 64 + walk.step.block_n % 64, 0) << head_dim;
      EXPECT_GE(walk.step.block_m * walk.step.block_n, 2 * 64 * 64) << head_dim;
    }
  }
  expect_tile_by_tile(hopper, 72);  // for which it has no kernel
}

TEST(RowsCopied, AllButThoseThatHopperLoadsInPlace) {
  const auto shuffle = shuffled(4096, 3);
  const auto classes = residue_classes(4096, 8, 16);
  for (const Backend* backend : backends()) {
    const std::string& name = backend->info().name;
    const bool in_place = name == "hopper" && backend->info().unavailable != "built without CUDA";
    EXPECT_EQ(backend->rows_copied(shuffle), 4096) << name;
    // A group of eight rows where each of the eight classes begins and ends, at the most.
    EXPECT_LE(backend->rows_copied(classes), in_place ? 8 * 2 * 8 : 4096) << name;
    EXPECT_GE(backend->rows_copied(classes), in_place ? 0 : 4096) << name;
  }
}

}  // namespace
}  // namespace attn::test

// SPDX-License-Identifier: Apache-2.0
#include "random.hpp"

#include "generator.hpp"
#include "rows.hpp"

namespace masks {
namespace {

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const double density = params.number("density");
  check_entries(density * n * n, "random(n=" + std::to_string(n) + ")");
  const std::uint64_t base = seed(params);
  const RarePlaces places(density, n);
  return {build_rows(n, n, [=](std::int32_t i, Row& row) {
    Random random(base, static_cast<std::uint64_t>(i));
    places.draw(random, [&](std::int64_t key) { row.add(key); });
  })};
}

}  // namespace

std::vector<Generator> make_random() {
  GeneratorInfo info{
      "random",
      "every query sees every key with the same chance",
      "",
      {n_param(), number_param("density", 0.01, 0, 1, "the chance of a pair"), seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <string>
#include <string_view>

#include "generator.hpp"
#include "reorder/error.hpp"
#include "rows.hpp"

namespace masks {
namespace {

constexpr std::string_view kSees[] = {"parent", "ancestors"};
constexpr std::int64_t kMaxNodes = std::int64_t{1} << 30;  // the next power of two is an int32

/// s + s^2 + ... + s^levels.
std::int64_t count_nodes(std::int64_t s, std::int64_t levels) {
  std::int64_t nodes = 0;
  std::int64_t level = 1;
  for (std::int64_t k = 0; k < levels; ++k) {
    level *= s;
    nodes += level;
    if (nodes > kMaxNodes) {
      throw reorder::Error(reorder::ErrorCode::too_large,
                           "medusa: a tree with s=" + std::to_string(s) + " and k=" +
                               std::to_string(levels) + " has more than the limit of 2^30 nodes");
    }
  }
  return nodes;
}

Generated generate(const reorder::Params& params) {
  const std::int64_t s = params.integer("s");
  const std::int64_t nodes = count_nodes(s, params.integer("k"));
  std::int64_t n = params.integer("n");
  if (n == 0) n = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(nodes)));
  if (n < nodes) {
    throw reorder::Error(reorder::ErrorCode::invalid_argument,
                         "medusa: n is " + std::to_string(n) + ", too few for the tree's " +
                             std::to_string(nodes) + " nodes");
  }
  const bool all = choice(params, "sees", kSees) == 1;
  const auto size = static_cast<std::int32_t>(n);
  return {build_rows(size, size, [=](std::int32_t i, Row& row) {
    if (i >= nodes) return;
    row.add(i);
    // Breadth first and without the root, the children of node p are s(p+1) ... s(p+1) + s - 1.
    for (std::int64_t parent = i / s - 1; parent >= 0; parent = parent / s - 1) {
      row.add(parent);
      if (!all) break;
    }
  })};
}

}  // namespace

std::vector<Generator> make_medusa() {
  GeneratorInfo info{
      "medusa",
      "a regular tree of draft tokens without its root, padded to a power of two",
      "Cai et al., Medusa, arXiv 2401.10774; parent only as timed in Sharma, Geiping, "
      "arXiv 2409.15097",
      {integer_param("s", 3, 1, 1 << 20, "children of a node"),
       integer_param("k", 7, 1, 64, "levels below the root"),
       word_param("sees", "parent", "parent: only the nearest ancestor; ancestors: all of them"),
       integer_param("n", 0, 0, kMaxSize, "tokens; 0 is the next power of two")}};
  return {{std::move(info), generate}};
}

}  // namespace masks

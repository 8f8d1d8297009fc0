// SPDX-License-Identifier: Apache-2.0
#include "trees.hpp"

#include <string_view>

#include "generator.hpp"
#include "random.hpp"

namespace masks {
namespace {

constexpr std::string_view kSees[] = {"ancestors", "parent"};

Generated generate(const reorder::Params& params) {
  Random random(seed(params));
  std::vector<std::int32_t> parents(static_cast<std::size_t>(params.integer("nodes")));
  parents[0] = -1;
  for (std::size_t i = 1; i < parents.size(); ++i) {
    const auto oldest = static_cast<std::int32_t>(i / 4);
    parents[i] = oldest + random.index(static_cast<std::int32_t>(i) - oldest);
  }
  const Sees sees = choice(params, "sees", kSees) == 0 ? Sees::ancestors : Sees::parent;
  return {repeat_tree(int32(params, "n"), parents, sees)};
}

}  // namespace

std::vector<Generator> make_trees() {
  GeneratorInfo info{
      "trees",
      "one random tree of draft tokens, repeated along the diagonal",
      "Miao et al., SpecInfer, arXiv 2305.09781; the shape is this project's: node i's parent is "
      "uniform in [i/4, i)",
      {n_param(), integer_param("nodes", 64, 1, 1 << 24, "nodes of a tree"),
       word_param("sees", "ancestors", "ancestors: all of them; parent: only the nearest"),
       seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

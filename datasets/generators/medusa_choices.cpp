// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "data/embedded.hpp"
#include "generator.hpp"
#include "reorder/error.hpp"
#include "trees.hpp"

namespace masks {
namespace {

using Path = std::vector<std::int32_t>;

constexpr std::string_view kSees[] = {"ancestors", "parent"};

struct ChoiceList {
  std::string_view name;
  std::string_view paths;  ///< blank-separated
};

std::vector<ChoiceList> choice_lists() {
  std::vector<ChoiceList> lists;
  std::string_view text = data::kMedusaChoices;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t colon = line.find(": ");
    if (line.starts_with('#') || colon == std::string_view::npos) continue;
    lists.push_back({line.substr(0, colon), line.substr(colon + 2)});
  }
  return lists;
}

/// "0.1.2 0.1 ..." as paths, the shorter first and equal lengths in order, after the root's.
std::vector<Path> sorted_paths(std::string_view text) {
  std::vector<Path> paths{{}};
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at < end;) {
    Path path;
    do {
      at = std::from_chars(at, end, path.emplace_back()).ptr;
    } while (at < end && *at++ == '.');
    paths.push_back(std::move(path));
  }
  std::sort(paths.begin(), paths.end(), [](const Path& a, const Path& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return paths;
}

std::vector<std::int32_t> parents_of(const std::vector<Path>& paths) {
  std::vector<std::int32_t> parents{-1};
  for (std::size_t i = 1; i < paths.size(); ++i) {
    const Path parent(paths[i].begin(), paths[i].end() - 1);
    const auto found = std::find(paths.begin(), paths.end(), parent);
    parents.push_back(static_cast<std::int32_t>(found - paths.begin()));
  }
  return parents;
}

Generated generate(const reorder::Params& params) {
  const std::vector<ChoiceList> lists = choice_lists();
  std::vector<std::string_view> names;
  for (const ChoiceList& list : lists) names.push_back(list.name);
  const ChoiceList& list = lists[choice(params, "list", names)];
  const Sees sees = choice(params, "sees", kSees) == 0 ? Sees::ancestors : Sees::parent;
  return {repeat_tree(int32(params, "n"), parents_of(sorted_paths(list.paths)), sees)};
}

}  // namespace

std::vector<Generator> make_medusa_choices() {
  GeneratorInfo info{
      "medusa_choices",
      "Medusa's own tree of 64 draft tokens, repeated along the diagonal",
      "Cai et al., Medusa, arXiv 2401.10774; medusa/model/medusa_choices.py",
      {n_param(), word_param("list", "mc_sim_7b_63", "which of the project's nine trees"),
       word_param("sees", "ancestors", "ancestors: all of them; parent: only the nearest")}};
  return {{std::move(info), generate}};
}

}  // namespace masks

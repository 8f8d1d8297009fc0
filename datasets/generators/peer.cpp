// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bigbird.hpp"
#include "data/embedded.hpp"
#include "documents.hpp"
#include "generator.hpp"
#include "masks/mask.hpp"
#include "trees.hpp"

namespace masks {
namespace {

const nlohmann::json& peer_data() {
  static const nlohmann::json parsed = nlohmann::json::parse(data::kPeerMasks);
  return parsed;
}

std::int32_t size() {
  return peer_data().at("n").get<std::int32_t>();
}

std::vector<std::int32_t> numbers(const nlohmann::json& list) {
  return list.get<std::vector<std::int32_t>>();
}

/// Documents of listed lengths and, where there are any, prompts.
std::vector<Document> documents(const char* name) {
  const nlohmann::json& mask = peer_data().at(name);
  const std::vector<std::int32_t> lengths = numbers(mask.at("lengths"));
  const std::vector<std::int32_t> prompts = mask.contains("prompts")
                                                ? numbers(mask.at("prompts"))
                                                : std::vector<std::int32_t>(lengths.size(), 0);
  std::vector<Document> result;
  for (std::size_t d = 0; d < lengths.size(); ++d) result.push_back({lengths[d], prompts[d]});
  return result;
}

reorder::Csr bigbird() {
  const nlohmann::json& mask = peer_data().at("bigbird_w96_g64_r3");
  const nlohmann::json& rows = mask.at("random_blocks_per_block_row");
  std::vector<std::vector<std::int32_t>> random_blocks;
  for (const nlohmann::json& row : rows) random_blocks.push_back(numbers(row));
  return build_bigbird({size(), mask.at("window"), mask.at("globals"), mask.at("block"),
                        [&](std::int32_t block_row, std::vector<std::int32_t>& block_cols) {
                          block_cols = random_blocks[static_cast<std::size_t>(block_row)];
                        }});
}

/// A mask that a generator makes as well, at the size of the others.
reorder::Csr made(const std::string& generator, const std::string& arguments = "",
                  const std::string& modifiers = "") {
  return make(generator + "(n=" + std::to_string(size()) + arguments + ")" + modifiers).pattern;
}

Generator entry(const std::string& name, const std::string& summary,
                std::function<reorder::Csr()> build) {
  return {{"peer:" + name, summary + ", n=16384", "as measured in data/peer_masks.json", {}},
          [build = std::move(build)](const reorder::Params&) -> Generated { return {build()}; }};
}

}  // namespace

std::vector<Generator> make_peer() {
  return {
      entry("dense", "no mask", [] { return made("dense"); }),
      entry("causal", "causal", [] { return made("causal"); }),
      entry("window128", "a window of 128 to either side",
            [] { return made("window", ",window=128"); }),
      entry("causal_window256", "a window of 256 backwards",
            [] { return made("window", ",window=256,mode=causal"); }),
      entry("longformer_w256_g64", "a window of 256 and 64 global tokens",
            [] { return made("longformer", ",window=256,globals=64"); }),
      entry("longformer_w128_dil8_g16", "128 steps of 8 and 16 global tokens",
            [] { return made("longformer", ",window=128,dilation=8,globals=16"); }),
      entry("bigbird_w96_g64_r3", "a window of 96, 64 globals, 3 listed blocks in a block row",
            bigbird),
      entry("docs_mean1024", "11 causal documents of listed lengths",
            [] { return pack_documents(size(), documents("docs_mean1024")); }),
      entry("alpaca_like_mean270", "46 samples of listed lengths and bidirectional prompts",
            [] { return pack_documents(size(), documents("alpaca_like_mean270")); }),
      entry("tree64_packed", "one listed tree of 64 nodes along the diagonal",
            [] {
              const auto parents = numbers(peer_data().at("tree64_packed").at("parents"));
              return repeat_tree(size(), parents, Sees::ancestors);
            }),
      entry("cdw_sinks", "7 documents of listed lengths, a window of 128 and 4 sinks",
            [] { return pack_documents_with_sinks(size(), documents("cdw_sinks"), 128, 4); }),
      entry("shuffled_docs1024", "docs_mean1024, shuffled with this library's seed 0",
            [] { return make("peer:docs_mean1024|shuffle(seed=0)").pattern; }),
  };
}

}  // namespace masks

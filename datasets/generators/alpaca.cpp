// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <string>
#include <string_view>

#include "data/embedded.hpp"
#include "documents.hpp"
#include "generator.hpp"

namespace masks {
namespace {

constexpr std::string_view kModes[] = {"causal", "bidirectional"};

struct Example {
  std::int32_t whole;
  std::int32_t input;
  std::int32_t output;
};

std::vector<Example> known_examples() {
  std::vector<Example> examples;
  std::string_view text = data::kAlpacaLengths;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty() || line[0] == '#') continue;
    Example example{};
    const char* at = line.data();
    for (std::int32_t* field : {&example.whole, &example.input, &example.output}) {
      at = std::from_chars(at, line.data() + line.size(), *field).ptr + 1;
    }
    examples.push_back(example);
  }
  return examples;
}

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const bool bidirectional = choice(params, "mode", kModes) == 1;
  const std::vector<Example> known = known_examples();
  Random random(seed(params));

  // Examples in the data set's order, until the first that does not fit.
  std::vector<Document> documents;
  std::int32_t left = n;
  std::size_t drawn = 0;
  for (;;) {
    const bool is_known = documents.size() < known.size();
    const Example example = is_known
                                ? known[documents.size()]
                                : known[random.below(static_cast<std::uint32_t>(known.size()))];
    const std::int32_t length = bidirectional ? example.input + example.output : example.whole;
    if (length > left) break;
    documents.push_back({length, bidirectional ? example.input : 0});
    left -= length;
    drawn += is_known ? 0 : 1;
  }

  std::string note;
  if (drawn > 0) {
    note = "lengths of " + std::to_string(drawn) + " of " + std::to_string(documents.size()) +
           " examples drawn from those of the first " + std::to_string(known.size());
  }
  return {pack_documents(n, documents), note};
}

}  // namespace

std::vector<Generator> make_alpaca() {
  GeneratorInfo info{
      "alpaca",
      "the examples of ALPACA, packed in order; the tail is padding",
      "Taori et al., Stanford Alpaca, 2023; packed as in Sharma, Geiping, arXiv 2409.15097",
      {n_param(),
       word_param("mode", "causal",
                  "causal; bidirectional: the input sees itself both ways, the output is causal"),
       seed_param()}};
  info.params.back().summary = "for the lengths after the 100 known ones";
  return {{std::move(info), generate}};
}

}  // namespace masks

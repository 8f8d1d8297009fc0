// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "documents.hpp"
#include "generator.hpp"
#include "portable_math.hpp"
#include "reorder/error.hpp"

namespace masks {
namespace {

constexpr std::string_view kModes[] = {"causal", "bidirectional", "prompt"};
constexpr double kShortest = 8;  // of lognormal lengths

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const double median = params.number("median");
  const double sigma = params.number("sigma");
  const double mean = params.number("mean");
  const double prompt_min = params.number("prompt_min");
  const double prompt_max = params.number("prompt_max");
  if (prompt_min > prompt_max) {
    throw reorder::Error(reorder::ErrorCode::invalid_argument,
                         "docs: prompt_min is " + std::to_string(prompt_min) +
                             ", above prompt_max, which is " + std::to_string(prompt_max));
  }

  Random random(seed(params));
  std::vector<Document> documents = fill_with_documents(n, [&] {
    if (mean > 0) return std::max(1.0, std::floor(mean * random.exponential() + 0.5));
    return std::max(kShortest, std::floor(median * portable_exp(sigma * random.normal())));
  });

  const std::size_t mode = choice(params, "mode", kModes);
  for (Document& document : documents) {
    if (mode == 1) document.prompt = document.length;
    if (mode == 2) {
      const double share = random.uniform(prompt_min, prompt_max);
      document.prompt = static_cast<std::int32_t>(share * document.length);
    }
  }
  return {pack_documents(n, documents)};
}

}  // namespace

std::vector<Generator> make_docs() {
  GeneratorInfo info{
      "docs",
      "packed documents of random lengths, each sees only itself",
      "Krell et al., Efficient sequence packing without cross-contamination, arXiv 2107.02027",
      {n_param(), number_param("median", 1024, 1, 1e9, "of the lognormal lengths, at least 8"),
       number_param("sigma", 0.8, 0, 10, "of the lengths' logarithm"),
       number_param("mean", 0, 0, 1e9, "above 0: exponential lengths of this mean instead"),
       word_param(
           "mode", "causal",
           "causal; bidirectional; prompt: a prompt sees itself both ways, the rest is causal"),
       number_param("prompt_min", 0.1, 0, 1, "smallest share of a document that is prompt"),
       number_param("prompt_max", 0.6, 0, 1, "largest share"), seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

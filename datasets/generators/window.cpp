// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"
#include "rows.hpp"

namespace masks {
namespace {

constexpr std::string_view kModes[] = {"symmetric", "causal"};

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t before = params.integer("window");
  const std::int64_t after = choice(params, "mode", kModes) == 0 ? before : 0;
  return {build_rows(
      n, n, [=](std::int32_t i, Row& row) { row.add(i - before, std::int64_t{i} + after + 1); })};
}

}  // namespace

std::vector<Generator> make_window() {
  GeneratorInfo info{
      "window",
      "a token sees those at most `window` away",
      "Beltagy, Peters, Cohan, Longformer, arXiv 2004.05150; causal: Jiang et al., Mistral 7B, "
      "arXiv 2310.06825",
      {n_param(), integer_param("window", 128, 0, kMaxSize, "the largest distance seen"),
       word_param("mode", "symmetric", "symmetric: both ways; causal: backwards only")}};
  return {{std::move(info), generate}};
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "generator.hpp"
#include "random.hpp"
#include "reorder/error.hpp"
#include "rows.hpp"

namespace masks {
namespace {

constexpr std::string_view kGlobals[] = {"none", "timed", "fixed"};

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t dilation = params.integer("dilation");
  const std::int64_t steps = params.integer("window_size") / 2;
  const std::size_t globals = choice(params, "globals", kGlobals);

  std::vector<bool> is_global(static_cast<std::size_t>(n), false);
  std::vector<std::int32_t> tokens;
  if (globals != 0) {
    // Tokens 0 and 1, and int(log2 n) random ones, of which the fixed variant has two fewer.
    const std::int32_t log2 = std::bit_width(static_cast<std::uint32_t>(n)) - 1;
    Random random(seed(params));
    draw_distinct(random, std::max(0, globals == 1 ? log2 : log2 - 2), n, tokens);
    for (const std::int32_t first : {0, 1}) {
      if (first < n) tokens.push_back(first);
    }
    for (const std::int32_t token : tokens) is_global[static_cast<std::size_t>(token)] = true;
  }

  const bool half_lines = globals == 1;
  return {build_rows(n, n, [&](std::int32_t i, Row& row) {
    for (std::int64_t step = -steps; step <= steps; ++step) row.add(i + step * dilation);
    if (is_global[static_cast<std::size_t>(i)]) row.add(half_lines ? i : 0, n);
    for (const std::int32_t token : tokens) {
      if (!half_lines || token <= i) row.add(token);
    }
  })};
}

}  // namespace

std::vector<Generator> make_longformer_paper() {
  GeneratorInfo info{
      "longformer_paper",
      "the Longformer masks of the Binary Block Masking paper: window, dilation, random globals",
      "Sharma, Geiping, arXiv 2409.15097, section 3 and its code",
      {n_param(), integer_param("window_size", 8, 0, 1 << 20, "8 sees 4 steps to either side"),
       integer_param("dilation", 1, 1, kMaxSize, "length of a step"),
       word_param("globals", "none",
                  "none; timed: half lines, from the diagonal on, as in the published timings; "
                  "fixed: whole lines"),
       seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

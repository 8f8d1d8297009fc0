// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"
#include "rows.hpp"

namespace masks {
namespace {

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::int64_t dilation = params.integer("dilation");
  const std::int64_t reach = params.integer("window") * dilation;
  const std::int64_t globals = params.integer("globals");
  return {build_rows(n, n, [=](std::int32_t i, Row& row) {
    if (i < globals) return row.add(0, n);
    row.add(0, globals);
    if (dilation == 1) return row.add(i - reach, i + reach + 1);
    // The first key of the window that lies in the mask and in the query's residue class.
    const std::int64_t first = i < reach ? i % dilation : i - reach;
    const std::int64_t last = std::min<std::int64_t>(i + reach, n - 1);
    for (std::int64_t key = first; key <= last; key += dilation) row.add(key);
  })};
}

}  // namespace

std::vector<Generator> make_longformer() {
  GeneratorInfo info{
      "longformer",
      "a (dilated) window, and global tokens that see all and are seen by all",
      "Beltagy, Peters, Cohan, Longformer, arXiv 2004.05150",
      {n_param(), integer_param("window", 256, 0, kMaxSize, "steps to either side"),
       integer_param("dilation", 1, 1, kMaxSize, "length of a step; only whole steps are seen"),
       integer_param("globals", 64, 0, kMaxSize, "the first so many tokens are global")}};
  return {{std::move(info), generate}};
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "documents.hpp"
#include "generator.hpp"
#include "random.hpp"

namespace masks {
namespace {

/// Exponential lengths, scaled so that together they are n; each at least 1.
std::vector<Document> cut_into_documents(std::int32_t n, std::int32_t count, Random& random) {
  count = std::min(count, n);
  std::vector<double> weights(static_cast<std::size_t>(count));
  for (double& weight : weights) weight = random.exponential();
  double total = 0;
  for (const double weight : weights) total += weight;

  std::vector<Document> documents;
  double sum = 0;
  std::int32_t end = 0;
  for (std::int32_t d = 0; d < count; ++d) {
    sum += weights[static_cast<std::size_t>(d)];
    // Room for one token in each document after this one.
    const std::int32_t last = n - (count - 1 - d);
    const auto ideal = static_cast<std::int32_t>(std::min<double>(last, sum / total * n));
    const std::int32_t next = d + 1 == count ? n : std::max(ideal, end + 1);
    documents.push_back({next - end, 0});
    end = next;
  }
  return documents;
}

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  Random random(seed(params));
  const auto documents = cut_into_documents(n, int32(params, "docs"), random);
  return {pack_documents_with_sinks(n, documents, int32(params, "window"), int32(params, "sinks"))};
}

}  // namespace

std::vector<Generator> make_cdw_sinks() {
  GeneratorInfo info{
      "cdw_sinks",
      "packed documents under a causal window, each with its first tokens as sinks",
      "Xiao et al., Attention sinks, arXiv 2309.17453; the packing is from seal-rg/binflash",
      {n_param(), integer_param("docs", 7, 1, 1 << 24, "documents, of exponential lengths"),
       integer_param("window", 128, 0, kMaxSize, "tokens back"),
       integer_param("sinks", 4, 0, kMaxSize, "first tokens of a document that all of it sees"),
       seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

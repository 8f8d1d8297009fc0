// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "generator.hpp"
#include "random.hpp"
#include "rows.hpp"

namespace masks {
namespace {

constexpr std::int32_t kQueriesPerTopic = 96;
constexpr std::int32_t kKeysPerChunk = 32;

Generated generate(const reorder::Params& params) {
  const std::int32_t n_keys = int32(params, "n");
  const std::int32_t given = int32(params, "queries");
  const std::int32_t n_queries = given > 0 ? given : std::max(1, n_keys / 4);
  const std::int32_t n_topics = std::max(1, n_queries / kQueriesPerTopic);
  const std::int32_t n_chunks = std::max(1, n_keys / kKeysPerChunk);
  const std::int64_t extra = params.integer("extra");
  const double keep = params.number("keep");
  const std::uint64_t base = seed(params);

  // A topic is some chunks of one random order of all keys.
  Random random(base);
  const std::vector<std::int32_t> key_order = random.permutation(n_keys);
  const std::int32_t chunks_per_topic = std::min(int32(params, "chunks"), n_chunks);
  std::vector<std::vector<std::int32_t>> topics(static_cast<std::size_t>(n_topics));
  for (auto& chunks : topics) draw_distinct(random, chunks_per_topic, n_chunks, chunks);

  return {build_rows(n_queries, n_keys, [&](std::int32_t i, Row& row) {
    Random of_row(base, static_cast<std::uint64_t>(i) + 1);
    for (const std::int32_t chunk : topics[static_cast<std::size_t>(of_row.index(n_topics))]) {
      const std::int32_t begin = chunk * kKeysPerChunk;
      const std::int32_t end = std::min(begin + kKeysPerChunk, n_keys);
      for (std::int32_t place = begin; place < end; ++place) {
        if (of_row.uniform() < keep) row.add(key_order[static_cast<std::size_t>(place)]);
      }
    }
    for (std::int64_t k = 0; k < extra; ++k) row.add(of_row.index(n_keys));
  })};
}

}  // namespace

std::vector<Generator> make_rect_topics() {
  GeneratorInfo info{
      "rect_topics",
      "fewer queries than keys; queries of one topic see mostly the same scattered keys",
      "",
      {n_param(4096, "keys"),
       integer_param("queries", 0, 0, kMaxSize, "queries; 0 is a quarter of the keys"),
       integer_param("chunks", 24, 1, 1 << 20, "chunks of 32 keys in a topic"),
       number_param("keep", 0.7, 0, 1, "the chance that a query sees a key of its topic"),
       integer_param("extra", 2, 0, 1 << 20, "random keys besides; they may repeat"),
       seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

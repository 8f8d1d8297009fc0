// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>

#include "generator.hpp"
#include "portable_math.hpp"
#include "random.hpp"
#include "rows.hpp"

namespace masks {
namespace {

constexpr std::string_view kFormulas[] = {"active", "commented"};

/// The nearest integer to log2(x), x >= 1, in integers: log2(x) + 1/2 = log2(2 x^2) / 2.
std::int64_t rounded_log2(std::uint64_t x) {
  return (std::bit_width(2 * x * x) - 1) / 2;
}

double probability(std::size_t formula, std::int32_t distance, double log2_n) {
  if (formula == 0) return std::max(0.5 * portable_exp(-0.3 * distance), 2e-4);
  const auto rounded = static_cast<double>(rounded_log2(static_cast<std::uint64_t>(distance) + 1));
  return std::min(1.0, 8 / (1000 * rounded * (log2_n * 0.5)));
}

Generated generate(const reorder::Params& params) {
  const std::int32_t n = int32(params, "n");
  const std::size_t formula = choice(params, "formula", kFormulas);
  const double log2_n = portable_log(n) / portable_log(2);
  double expected = n;
  for (std::int32_t distance = 1; distance < n; ++distance) {
    expected += 2.0 * (n - distance) * probability(formula, distance, log2_n);
    check_entries(expected, "rcm_paper(n=" + std::to_string(n) + ")");
  }

  Random random(seed(params));
  std::vector<Edge> edges;
  edges.reserve(static_cast<std::size_t>((expected - n) / 2 * 1.05));
  for (std::int32_t distance = 1; distance < n; ++distance) {
    RarePlaces(probability(formula, distance, log2_n), n - distance)
        .draw(random, [&](std::int64_t i) {
          const auto a = static_cast<std::int32_t>(i);
          edges.push_back({a, a + distance});
        });
  }
  return {build_graph(n, edges)};
}

}  // namespace

std::vector<Generator> make_rcm_paper() {
  GeneratorInfo info{
      "rcm_paper",
      "the random symmetric mask on which the Binary Block Masking paper timed RCM",
      "Sharma, Geiping, arXiv 2409.15097, figure 2, and its code",
      {n_param(),
       word_param("formula", "active",
                  "chance of a pair at distance d: active is max(e^(-0.3 d) / 2, 1/5000); "
                  "commented is 8 / (1000 round(log2(d+1)) log2(n)/2)"),
       seed_param()}};
  return {{std::move(info), generate}};
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"

#include <algorithm>
#include <utility>

#include "reorder/error.hpp"

namespace masks {

using reorder::Params;
using reorder::ParamSpec;

ParamSpec n_param(std::int64_t fallback, std::string summary) {
  return integer_param("n", fallback, 1, kMaxSize, std::move(summary));
}

ParamSpec seed_param() {
  // The limits of a ParamSpec are doubles, which hold integers up to 2^53.
  return integer_param("seed", 0, 0, std::int64_t{1} << 53, "another seed, another mask");
}

ParamSpec integer_param(std::string name, std::int64_t fallback, std::int64_t min, std::int64_t max,
                        std::string summary) {
  return {std::move(name), fallback, static_cast<double>(min), static_cast<double>(max),
          std::move(summary)};
}

ParamSpec number_param(std::string name, double fallback, double min, double max,
                       std::string summary) {
  return {std::move(name), fallback, min, max, std::move(summary)};
}

ParamSpec word_param(std::string name, std::string fallback, std::string summary) {
  ParamSpec spec;
  spec.name = std::move(name);
  spec.fallback = std::move(fallback);
  spec.summary = std::move(summary);
  return spec;
}

std::int32_t int32(const Params& params, std::string_view name) {
  return static_cast<std::int32_t>(params.integer(name));
}

std::uint64_t seed(const Params& params) {
  return static_cast<std::uint64_t>(params.integer("seed"));
}

std::size_t choice(const Params& params, std::string_view name,
                   std::span<const std::string_view> choices) {
  const std::string& word = params.text(name);
  const auto found = std::find(choices.begin(), choices.end(), word);
  if (found != choices.end()) return static_cast<std::size_t>(found - choices.begin());
  std::string sentence = std::string(name) + " is '" + word + "'; it can be";
  for (std::size_t i = 0; i < choices.size(); ++i) {
    sentence += (i == 0 ? " " : i + 1 == choices.size() ? " or " : ", ") + std::string(choices[i]);
  }
  throw reorder::Error(reorder::ErrorCode::invalid_argument, sentence);
}

}  // namespace masks

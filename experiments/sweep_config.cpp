// SPDX-License-Identifier: Apache-2.0
#include "experiments/sweep_config.hpp"

#include <algorithm>
#include <functional>

#include "experiments/exit_code.hpp"
#include "experiments/file_io.hpp"
#include "experiments/parameters.hpp"
#include "experiments/text.hpp"
#include "reorder/error.hpp"

namespace experiments {
namespace {

const std::vector<std::string> kKeys = {
    "masks",      "n",       "modifiers", "pipelines", "backends", "tiles",
    "objectives", "dtypes",  "batch",     "heads",     "kv_heads", "head_dims",
    "seeds",      "repeats", "min_time",  "verify",    "comment"};

/// A configuration with the place it came from, for messages.
class Reader {
 public:
  Reader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json_.is_object()) fail("the configuration is not a JSON object");
    for (const auto& [key, value] : json_.items()) {
      if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
        fail("unknown key '" + key + "'" + did_you_mean(key, kKeys));
      }
    }
  }

  [[noreturn]] void fail(const std::string& what) const { throw UsageError(where_ + ": " + what); }

  /// One value or a list of them; `fallback` where the key is missing.
  template <class T>
  [[nodiscard]] std::vector<T> list(const char* key, T fallback) const {
    if (!json_.contains(key)) return {fallback};
    const Json& value = json_.at(key);
    if (!value.is_array()) return {one<T>(key, value)};
    if (value.empty()) fail(std::string("the list '") + key + "' is empty");
    std::vector<T> values;
    for (const Json& item : value) values.push_back(one<T>(key, item));
    return values;
  }

  template <class T>
  [[nodiscard]] T value(const char* key, T fallback) const {
    return json_.contains(key) ? one<T>(key, json_.at(key)) : fallback;
  }

  [[nodiscard]] const Json& masks() const {
    if (!json_.contains("masks")) fail("the key 'masks' is missing");
    return json_.at("masks");
  }
  [[nodiscard]] bool has(const char* key) const { return json_.contains(key); }

  template <class T>
  [[nodiscard]] T one(const char* key, const Json& value) const {
    constexpr bool kText = std::is_same_v<T, std::string>;
    constexpr bool kWhole = std::is_integral_v<T>;
    const bool fits =
        kText ? value.is_string() : (kWhole ? value.is_number_integer() : value.is_number());
    if (!fits) {
      fail(std::string("'") + key + "' holds " + value.dump() + ", expected " +
           (kText    ? "text"
            : kWhole ? "a whole number"
                     : "a number"));
    }
    return value.get<T>();
  }

 private:
  const Json& json_;
  std::string where_;
};

struct NamedMask {
  std::string mask;
  std::string label;
};

std::string with_n(std::string text, const std::string& n) {
  for (std::size_t at = 0; (at = text.find("{n}", at)) != std::string::npos; at += n.size()) {
    text.replace(at, 3, n);
  }
  return text;
}

/// Masks × n × modifiers.
std::vector<NamedMask> masks_of(const Reader& reader) {
  const Json& listed = reader.masks();
  const Json items = listed.is_array() ? listed : Json::array({listed});
  if (items.empty()) reader.fail("the list 'masks' is empty");
  const auto sizes = reader.list<std::int64_t>("n", 0);
  const auto modifiers = reader.list<std::string>("modifiers", "");
  std::vector<NamedMask> masks;
  for (const Json& item : items) {
    NamedMask named;
    if (item.is_object()) {
      if (!item.contains("mask")) reader.fail("a mask object needs the key 'mask': " + item.dump());
      named.mask = reader.one<std::string>("mask", item.at("mask"));
      if (item.contains("label")) named.label = reader.one<std::string>("label", item.at("label"));
    } else {
      named.mask = reader.one<std::string>("masks", item);
    }
    const bool sized = named.mask.find("{n}") != std::string::npos;
    if (sized && !reader.has("n")) reader.fail(named.mask + " needs the key 'n'");
    for (const std::int64_t n : sized ? sizes : std::vector<std::int64_t>{0}) {
      for (const auto& modifier : modifiers) {
        NamedMask made = named;
        made.mask = with_n(named.mask, std::to_string(n));
        if (!modifier.empty()) {
          made.mask += "|" + modifier;
          const auto name = modifier.substr(0, modifier.find('('));
          if (!made.label.empty()) made.label += ", " + (name == "shuffle" ? "shuffled" : name);
        }
        masks.push_back(made);
      }
    }
  }
  return masks;
}

/// Runs the checks that need no mask, with the place in front of what they throw.
void check(const Reader& reader, const Problem& problem, const reorder::Registry& registry) {
  try {
    validate(problem);
    (void)reorder::Pipeline::parse(problem.pipeline, registry);
    if (problem.mask.find('/') == std::string::npos) (void)reorder::parse_chain(problem.mask);
  } catch (const std::exception& error) {
    // A strategy that this build lacks fails in its own records; a misspelt one ends the sweep.
    const auto* known = dynamic_cast<const reorder::Error*>(&error);
    if (known && known->code() == reorder::ErrorCode::unavailable) return;
    reader.fail(error.what());
  }
}

}  // namespace

Scope parse_scope(const std::string& text) {
  const std::vector<std::string> names = {"auto", "whole", "none"};
  if (text == names[0]) return Scope::automatic;
  if (text == names[1]) return Scope::whole;
  if (text == names[2]) return Scope::none;
  throw UsageError("verify is '" + text + "', it must be auto, whole or none");
}

SweepConfig parse_sweep_config(const Json& json, const std::string& where, const Problem& defaults,
                               const reorder::Registry& registry) {
  const Reader reader(json, where);
  SweepConfig config;
  config.options.repeats.minimum = reader.value<int>("repeats", 5);
  config.options.repeats.seconds = reader.value<double>("min_time", 0.2);
  if (config.options.repeats.minimum < 1) reader.fail("'repeats' must be at least 1");
  try {
    config.options.scope = parse_scope(reader.value<std::string>("verify", "auto"));
  } catch (const UsageError& error) {
    reader.fail(error.what());
  }

  std::vector<Combination> combinations;
  for (const auto& [mask, label] : masks_of(reader)) {
    Combination first{defaults, label};
    first.problem.mask = mask;
    combinations.push_back(first);
  }
  // Each axis multiplies the combinations there are; the first axes change slowest, so that what
  // is costly to make, mask, tensors and oracle, serves many measurements in a row.
  const auto axis = [&]<class T>(const char* key, T Problem::*member, T fallback) {
    const auto values = reader.list<T>(key, fallback);
    std::vector<Combination> product;
    for (const auto& combination : combinations) {
      for (const T& value : values) {
        product.push_back(combination);
        product.back().problem.*member = value;
      }
    }
    combinations = std::move(product);
  };
  axis("seeds", &Problem::seed, defaults.seed);
  axis("batch", &Problem::batch, defaults.batch);
  axis("heads", &Problem::heads, defaults.heads);
  axis("kv_heads", &Problem::kv_heads, 0);
  axis("head_dims", &Problem::head_dim, defaults.head_dim);
  axis("dtypes", &Problem::dtype, defaults.dtype);
  axis("backends", &Problem::backend, defaults.backend);
  axis("tiles", &Problem::tile, defaults.tile);
  axis("objectives", &Problem::objective, defaults.objective);
  axis("pipelines", &Problem::pipeline, defaults.pipeline);
  for (auto& [problem, label] : combinations) {
    if (problem.kv_heads == 0) problem.kv_heads = problem.heads;
    check(reader, problem, registry);
  }
  config.combinations = std::move(combinations);
  return config;
}

SweepConfig read_sweep_config(const std::filesystem::path& file, const Problem& defaults,
                              const reorder::Registry& registry) {
  const std::string text = read_text(file);
  Json json;
  try {
    json = Json::parse(text, nullptr, true, /*ignore_comments=*/true);
  } catch (const Json::parse_error& error) {
    const auto line =
        1 +
        std::count(text.begin(),
                   text.begin() + static_cast<std::ptrdiff_t>(std::min(error.byte, text.size())),
                   '\n');
    throw UsageError(file.string() + ":" + std::to_string(line) + ": not JSON: " + error.what());
  }
  return parse_sweep_config(json, file.string(), defaults, registry);
}

}  // namespace experiments

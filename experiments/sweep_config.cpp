// SPDX-License-Identifier: Apache-2.0
#include "experiments/sweep_config.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include "experiments/exit_code.hpp"
#include "experiments/json_text.hpp"
#include "experiments/parameters.hpp"
#include "experiments/text.hpp"
#include "masks/mask.hpp"
#include "reorder/error.hpp"
#include "reorder/files.hpp"
#include "reorder/spec.hpp"

namespace experiments {
namespace {

const std::vector<std::string> kKeys = {
    "masks",      "max_n",        "n",          "modifiers", "pipelines",   "backends",
    "tiles",      "kernel_tiles", "objectives", "budgets",   "cost_models", "dtypes",
    "algorithms", "batch",        "heads",      "kv_heads",  "head_dims",   "scales",
    "seeds",      "pass",         "gradients",  "repeats",   "min_time",    "verify",
    "comment"};

template <class T>
struct Limits {
  T low;
  T high;
};

/// What the numbers of a problem may be where nothing narrower is said.
template <class T>
Limits<T> any() {
  if constexpr (std::is_arithmetic_v<T>) {
    return {std::is_same_v<T, int> ? T(1) : T(0), std::numeric_limits<T>::max()};
  } else {
    return {};
  }
}

/// 3600, not 3600.0.
template <class T>
std::string number_text(T number) {
  if constexpr (std::is_floating_point_v<T>) {
    return reorder::to_string(reorder::Value(static_cast<double>(number)));
  } else {
    return std::to_string(number);
  }
}

/// A configuration with the place it came from, for messages.
class Reader {
 public:
  Reader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json_.is_object()) fail("the configuration is not a JSON object");
    require_known(json_, kKeys, "");
  }

  /// `inside` says where the keys stand: " in the mask {...}".
  void require_known(const Json& object, const std::vector<std::string>& known,
                     const std::string& inside) const {
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        fail("unknown key '" + key + "'" + inside + did_you_mean(key, known));
      }
    }
  }

  [[noreturn]] void fail(const std::string& what) const { throw UsageError(where_ + ": " + what); }

  /// One value or a list of them; `fallback` where the key is missing.
  template <class T>
  [[nodiscard]] std::vector<T> list(const char* key, T fallback,
                                    const Limits<T>& limits = any<T>()) const {
    if (!json_.contains(key)) return {fallback};
    const Json& value = json_.at(key);
    if (!value.is_array()) return {one<T>(key, value, limits)};
    if (value.empty()) fail(std::string("the list '") + key + "' is empty");
    std::vector<T> values;
    for (const Json& item : value) values.push_back(one<T>(key, item, limits));
    return values;
  }

  template <class T>
  [[nodiscard]] T value(const char* key, T fallback, const Limits<T>& limits = any<T>()) const {
    return json_.contains(key) ? one<T>(key, json_.at(key), limits) : fallback;
  }

  [[nodiscard]] const Json& masks() const {
    if (!json_.contains("masks")) fail("the key 'masks' is missing");
    return json_.at("masks");
  }
  [[nodiscard]] bool has(const char* key) const { return json_.contains(key); }

  template <class T>
  [[nodiscard]] T one(const char* key, const Json& value,
                      const Limits<T>& limits = any<T>()) const {
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
    if constexpr (!kText) {
      if (!within(value, limits)) {
        fail(std::string("'") + key + "' is " + value.dump() + ", it must be from " +
             number_text(limits.low) + " to " + number_text(limits.high));
      }
    }
    return value.get<T>();
  }

 private:
  /// Compared as it stands in the file: a number that T cannot hold would come out as another.
  template <class T>
  static bool within(const Json& value, const Limits<T>& limits) {
    if constexpr (std::is_integral_v<T>) {
      if (value.is_number_unsigned()) {
        const auto number = value.get<std::uint64_t>();
        return std::cmp_greater_equal(number, limits.low) &&
               std::cmp_less_equal(number, limits.high);
      }
      const auto number = value.get<std::int64_t>();
      return std::cmp_greater_equal(number, limits.low) && std::cmp_less_equal(number, limits.high);
    } else {
      const auto number = value.get<double>();
      return number >= limits.low && number <= limits.high;
    }
  }

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
  const auto sizes =
      reader.list<std::int64_t>("n", 0, {1, std::numeric_limits<std::int32_t>::max()});
  const auto modifiers = reader.list<std::string>("modifiers", "");
  bool n_used = false;
  std::vector<NamedMask> masks;
  for (const Json& item : items) {
    NamedMask named;
    if (item.is_object()) {
      reader.require_known(item, {"mask", "label"}, " in the mask " + item.dump());
      if (!item.contains("mask")) reader.fail("a mask object needs the key 'mask': " + item.dump());
      named.mask = reader.one<std::string>("mask", item.at("mask"));
      if (item.contains("label")) named.label = reader.one<std::string>("label", item.at("label"));
    } else {
      named.mask = reader.one<std::string>("masks", item);
    }
    const bool sized = named.mask.find("{n}") != std::string::npos;
    if (sized && !reader.has("n")) reader.fail(named.mask + " needs the key 'n'");
    n_used = n_used || sized;
    if (!sized && named.label.find("{n}") != std::string::npos) {
      reader.fail("the label '" + named.label + "' has {n}, its mask " + named.mask + " has not");
    }
    for (const std::int64_t n : sized ? sizes : std::vector<std::int64_t>{0}) {
      for (const auto& modifier : modifiers) {
        NamedMask made = named;
        made.mask = with_n(named.mask, std::to_string(n));
        made.label = with_n(named.label, std::to_string(n));
        if (!modifier.empty()) {
          made.mask += "|" + modifier;
          const auto name = modifier.substr(0, modifier.find('('));
          if (!made.label.empty()) made.label += ", " + (name == "shuffle" ? "shuffled" : name);
        }
        masks.push_back(made);
      }
    }
  }
  if (reader.has("n") && !n_used) {
    reader.fail("'n' is set, but no mask has {n}, which it stands for");
  }
  return masks;
}

/// Runs the checks that need no mask, with the place in front of what they throw.
void check(const Reader& reader, const Problem& problem, const reorder::Registry& registry) {
  try {
    validate(problem);
    masks::check(problem.mask);
    (void)reorder::Pipeline::parse(problem.pipeline, registry);
  } catch (const reorder::Error& error) {
    // A strategy that this build lacks fails in its own records; a misspelt one ends the sweep.
    if (error.code() == reorder::ErrorCode::unavailable) return;
    if (error.code() == reorder::ErrorCode::bad_file) throw;
    reader.fail(error.what());
  } catch (const std::exception& error) {
    reader.fail(error.what());
  }
}

/// Puts "key=value" in the place of the key.
void override_key(Json& json, const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UsageError("'" + text + "' is no key=value");
  }
  const std::string value = text.substr(equals + 1);
  Json parsed = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  // What is no JSON is text: backends=hopper.
  json[text.substr(0, equals)] = parsed.is_discarded() ? Json(value) : std::move(parsed);
}

}  // namespace

Scope parse_scope(const std::string& text) {
  const std::vector<std::string> names = {"auto", "whole", "none"};
  if (text == names[0]) return Scope::automatic;
  if (text == names[1]) return Scope::whole;
  if (text == names[2]) return Scope::none;
  throw UsageError("verify is '" + text + "'" +
                   did_you_mean_or(text, names, "it must be auto, whole or none"));
}

SweepConfig parse_sweep_config(const Json& json, const std::string& where, const Problem& defaults,
                               const reorder::Registry& registry, const PluginFiles& plugins) {
  const Reader reader(json, where);
  SweepConfig config;
  MeasureOptions options;
  options.repeats.minimum = reader.value<int>("repeats", 5, {1, 1000000});
  options.repeats.seconds = reader.value<double>("min_time", 0.2, {0, 3600});
  try {
    options.scope = parse_scope(reader.value<std::string>("verify", "auto"));
  } catch (const UsageError& error) {
    reader.fail(error.what());
  }

  const auto max_n = reader.value<std::int64_t>("max_n", 0);
  std::vector<Combination> combinations;
  for (const auto& [mask, label] : masks_of(reader)) {
    Combination first{.problem = defaults, .label = label, .options = options, .max_n = max_n};
    first.problem.mask = mask;
    combinations.push_back(first);
  }
  // Each axis multiplies the combinations there are; the first axes change slowest, so that what
  // is costly to make, mask, tensors and oracle, serves many measurements in a row.
  const auto multiply = [&]<class T>(const std::vector<T>& values, T Problem::*member) {
    std::vector<Combination> product;
    for (const auto& combination : combinations) {
      for (const T& value : values) {
        product.push_back(combination);
        product.back().problem.*member = value;
      }
    }
    combinations = std::move(product);
  };
  const auto axis = [&]<class T>(const char* key, T Problem::*member, T fallback) {
    multiply(reader.list<T>(key, fallback), member);
  };
  axis("seeds", &Problem::seed, defaults.seed);
  axis("batch", &Problem::batch, defaults.batch);
  axis("heads", &Problem::heads, defaults.heads);
  axis("kv_heads", &Problem::kv_heads, 0);
  axis("head_dims", &Problem::head_dim, defaults.head_dim);
  if (reader.has("scales")) {
    constexpr double kLargest = std::numeric_limits<float>::max();
    const auto scales = reader.list<double>("scales", 0, {-kLargest, kLargest});
    multiply(std::vector<std::optional<double>>(scales.begin(), scales.end()), &Problem::scale);
  }
  axis("dtypes", &Problem::dtype, defaults.dtype);
  axis("backends", &Problem::backend, defaults.backend);
  axis("algorithms", &Problem::algorithm, defaults.algorithm);
  axis("pass", &Problem::pass, defaults.pass);
  axis("tiles", &Problem::tile, defaults.tile);
  axis("gradients", &Problem::gradients, defaults.gradients);
  axis("kernel_tiles", &Problem::kernel_tile, defaults.kernel_tile);
  axis("objectives", &Problem::objective, defaults.objective);
  axis("cost_models", &Problem::cost_model, defaults.cost_model);
  axis("budgets", &Problem::budget, defaults.budget);
  axis("pipelines", &Problem::pipeline, defaults.pipeline);
  std::set<std::string> keys;
  InputFiles files(registry, plugins);
  for (auto& combination : combinations) {
    Problem& problem = combination.problem;
    if (problem.kv_heads == 0) problem.kv_heads = problem.heads;
    // What is listed twice is measured once.
    if (!keys.insert(key_of(problem)).second) continue;
    check(reader, problem, registry);
    combination.inputs = files.of(problem);
    config.combinations.push_back(std::move(combination));
  }
  return config;
}

SweepConfig joined(std::span<const SweepConfig> configs) {
  std::vector<std::vector<const Combination*>> by_mask;
  std::map<std::string, std::size_t> places;
  std::set<std::string> keys;
  for (const SweepConfig& config : configs) {
    for (const Combination& combination : config.combinations) {
      if (!keys.insert(key_of(combination.problem)).second) continue;
      const auto [place, is_new] = places.try_emplace(combination.problem.mask, by_mask.size());
      if (is_new) by_mask.emplace_back();
      by_mask[place->second].push_back(&combination);
    }
  }
  SweepConfig all;
  for (const auto& group : by_mask) {
    for (const Combination* combination : group) all.combinations.push_back(*combination);
  }
  return all;
}

SweepConfig read_sweep_config(const std::filesystem::path& file,
                              std::span<const std::string> overrides, const Problem& defaults,
                              const reorder::Registry& registry, const PluginFiles& plugins) {
  Json json;
  try {
    json = parse_json(reorder::read_file(file), file.string());
  } catch (const JsonError& error) {
    throw UsageError(error.what());
  }
  if (json.is_object()) {
    for (const std::string& set : overrides) override_key(json, set);
  }
  return parse_sweep_config(json, file.string(), defaults, registry, plugins);
}

}  // namespace experiments

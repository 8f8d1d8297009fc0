// SPDX-License-Identifier: Apache-2.0
#include "masks/mask.hpp"

#include <algorithm>
#include <charconv>
#include <new>
#include <type_traits>
#include <utility>

#include "generator.hpp"
#include "io/formats.hpp"
#include "io/readers.hpp"
#include "modifiers.hpp"
#include "reorder/error.hpp"

namespace masks {

#define GENERATOR(name) std::vector<Generator> make_##name();
#include "generators/generators.def"
#undef GENERATOR

namespace {

using reorder::Call;
using reorder::Error;
using reorder::ErrorCode;
using reorder::Params;
using reorder::ParamSpec;

struct Registry {
  std::vector<Generator> generators;
  std::vector<Modifier> modifiers;
  std::vector<GeneratorInfo> infos;
};

const Registry& registry() {
  static const Registry instance = [] {
    Registry made;
    const auto add = [&](std::vector<Generator> family) {
      std::move(family.begin(), family.end(), std::back_inserter(made.generators));
    };
#define GENERATOR(name) add(make_##name());
#include "generators/generators.def"
#undef GENERATOR
    made.modifiers = make_modifiers();
    for (const Generator& generator : made.generators) made.infos.push_back(generator.info);
    for (const Modifier& modifier : made.modifiers) made.infos.push_back(modifier.info);
    return made;
  }();
  return instance;
}

template <class Entry>
const Entry* find(const std::vector<Entry>& entries, const std::string& name) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const Entry& entry) { return entry.info.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

template <class Entry>
const Entry& find_or_throw(const std::vector<Entry>& entries, const std::string& name,
                           const std::string& kind, const std::string& hint) {
  if (const Entry* entry = find(entries, name)) return *entry;
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.push_back(entry.info.name);
  const std::string near = reorder::nearest_name(name, names);
  throw Error(ErrorCode::unknown_name,
              "no " + kind + " is named '" + name + "'" +
                  (near.empty() ? hint : "; did you mean '" + near + "'?"));
}

std::string to_text(const reorder::Value& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, std::string>) {
          return held;  // the words of a choice; free text would need quotes
        } else {
          char digits[32];
          return {digits, std::to_chars(digits, digits + sizeof digits, held).ptr};
        }
      },
      value);
}

reorder::Value value_of(const Params& params, const ParamSpec& spec) {
  if (std::holds_alternative<std::int64_t>(spec.fallback)) return params.integer(spec.name);
  if (std::holds_alternative<double>(spec.fallback)) return params.number(spec.name);
  return params.text(spec.name);
}

/// `name(n=4096,key=value)`: n always, another parameter where it differs from its default. However
/// a mask was asked for, it has one name.
std::string canonical(const GeneratorInfo& info, const Params& params) {
  std::string text = info.name;
  char separator = '(';
  for (const ParamSpec& spec : info.params) {
    const reorder::Value value = value_of(params, spec);
    if (spec.name != "n" && value == spec.fallback) continue;
    text += separator;
    text += spec.name;
    text += '=';
    text += to_text(value);
    separator = ',';
  }
  if (separator == ',') text += ')';
  return text;
}

/// The text up to the first '|' outside quotes, without blanks around it.
std::string_view first_part(std::string_view text) {
  bool quoted = false;
  std::size_t end = 0;
  for (; end < text.size() && (quoted || text[end] != '|'); ++end) quoted ^= text[end] == '"';
  return text.substr(0, end);
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\n\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n\r") + 1 - begin);
}

/// A path as it stands in a mask's text, quoted where a chain's syntax would take it apart.
std::string quote_path(std::string_view path) {
  if (path.find_first_of("|\" \t\n\r") == std::string_view::npos) return std::string(path);
  return std::string("\"").append(path).append("\"");
}

/// A mask's text, understood: names found, parameters bound, nothing made yet.
struct Recipe {
  std::string file;                      ///< or "" where a generator makes the mask
  const Generator* generator = nullptr;  ///< or null where a file holds it
  Params params;
  std::vector<std::pair<const Modifier*, Params>> modifiers;
};

const Generator& generator_named(const std::string& name) {
  if (find(registry().modifiers, name)) {
    throw Error(ErrorCode::invalid_argument,
                "'" + name + "' modifies a mask; a generator or a file comes before it");
  }
  return find_or_throw(registry().generators, name, "mask generator",
                       " (a file's name ends with " + std::string(kFileEndings) + ")");
}

std::string modifier_names() {
  std::string names;
  for (const Modifier& modifier : registry().modifiers) {
    names += (names.empty() ? "" : ", ") + modifier.info.name;
  }
  return names;
}

Recipe parse(std::string_view text) {
  Recipe recipe;
  reorder::Chain chain;
  recipe.file = source_file(text);
  if (recipe.file.empty()) {
    chain = reorder::parse_chain(text);
    recipe.generator = &generator_named(chain.at(0).name);
    recipe.params = reorder::bind(chain[0], recipe.generator->info.params);
    chain.erase(chain.begin());
  } else if (const auto first = first_part(text); first.size() < text.size()) {
    chain = reorder::parse_chain(text.substr(first.size() + 1));
  }
  for (const Call& call : chain) {
    const Modifier& modifier = find_or_throw(registry().modifiers, call.name, "mask modifier",
                                             "; there are " + modifier_names());
    recipe.modifiers.emplace_back(&modifier, reorder::bind(call, modifier.info.params));
  }
  return recipe;
}

Mask make(const Recipe& recipe) {
  Mask mask;
  if (recipe.generator == nullptr) {
    mask.pattern = read(recipe.file);
    mask.name = quote_path(recipe.file);
  } else {
    Generated made = recipe.generator->generate(recipe.params);
    mask = {std::move(made.pattern), canonical(recipe.generator->info, recipe.params),
            std::move(made.note)};
  }
  for (const auto& [modifier, params] : recipe.modifiers) {
    mask.pattern = modifier->apply(mask.pattern, params);
    mask.name += '|';
    mask.name += canonical(modifier->info, params);
  }
  return mask;
}

}  // namespace

const std::vector<GeneratorInfo>& generators() {
  return registry().infos;
}

std::string source_file(std::string_view text) {
  std::string_view path = trim(first_part(text));
  if (path.size() >= 2 && path.front() == '"' && path.back() == '"') {
    path = path.substr(1, path.size() - 2);
  }
  return format_of(path) == Format::none ? "" : std::string(path);
}

void check(std::string_view text) {
  const Recipe recipe = parse(text);
  if (!recipe.file.empty()) (void)open_file(recipe.file);
}

Mask make(std::string_view text) {
  try {
    return make(parse(text));
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::too_large, "not enough memory for the mask '" + std::string(text) + "'");
  }
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace experiments {

// A struct that goes into JSON lists its fields once:
//
//     template <class T, class Visit>
//       requires Is<T, Timing>
//     void fields(T& t, Visit&& visit) { visit("median", t.median); ... }
//
// and both directions follow from that list.

using Json = nlohmann::ordered_json;

/// What the JSON library says, without its "[json.exception.parse_error.101] ".
[[nodiscard]] inline std::string sentence_of(const Json::exception& error) {
  const std::string text = error.what();
  const std::size_t end = text.starts_with('[') ? text.find("] ") : std::string::npos;
  return end == std::string::npos ? text : text.substr(end + 2);
}

/// A field that holds something of another kind: "costs[0].t_row holds "much", expected a number".
class FieldError : public std::runtime_error {
 public:
  FieldError(const Json& found, const char* expected)
      : FieldError("", " holds " +
                           (found.is_structured() ? std::string("an ") + found.type_name()
                                                  : found.dump()) +
                           ", expected " + expected) {}

  /// The same of a field one level further in.
  [[nodiscard]] FieldError inside(const std::string& outer) const {
    const bool joins = path_.empty() || path_.front() == '[';
    return {outer + (joins ? "" : ".") + path_, what_};
  }

 private:
  FieldError(const std::string& path, const std::string& what)
      : std::runtime_error(path + what), path_(path), what_(what) {}

  std::string path_;
  std::string what_;
};

/// T is `Struct`, const or not.
template <class T, class Struct>
concept Is = std::is_same_v<std::remove_const_t<T>, Struct>;

struct AnyVisitor {
  template <class Field>
  void operator()(const char*, Field&) const {}
};

template <class T>
concept HasFields = requires(T& value) {
  fields(value, AnyVisitor{});
};

template <class T>
[[nodiscard]] Json encode(const std::optional<T>& value);
template <class T>
[[nodiscard]] Json encode(const std::vector<T>& values);
template <class T>
void decode(const Json& json, std::optional<T>& value);
template <class T>
void decode(const Json& json, std::vector<T>& values);

/// A struct becomes an object, a list an array, an absent value null.
template <class T>
[[nodiscard]] Json encode(const T& value) {
  if constexpr (HasFields<const T>) {
    Json object = Json::object();
    fields(value, [&](const char* name, const auto& field) { object[name] = encode(field); });
    return object;
  } else {
    return Json(value);
  }
}

template <class T>
Json encode(const std::optional<T>& value) {
  return value ? encode(*value) : Json(nullptr);
}

template <class T>
Json encode(const std::vector<T>& values) {
  Json array = Json::array();
  for (const auto& value : values) array.push_back(encode(value));
  return array;
}

/// A field that the object lacks keeps its value; one that the struct lacks is passed over. Both
/// let records of another schema version be read. Throws FieldError for a field of another type.
template <class T>
void decode(const Json& json, T& value) {
  if constexpr (HasFields<T>) {
    if (!json.is_object()) throw FieldError(json, "an object");
    fields(value, [&](const char* name, auto& field) {
      const auto found = json.find(name);
      if (found == json.end()) return;
      try {
        decode(*found, field);
      } catch (const FieldError& error) {
        throw error.inside(name);
      }
    });
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!json.is_string()) throw FieldError(json, "text");
    json.get_to(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) throw FieldError(json, "true or false");
    json.get_to(value);
  } else {
    static_assert(std::is_arithmetic_v<T>, "a field is a number, a truth value, text or a struct");
    // JSON has no NaN and no infinity: they are written as null.
    if (std::is_floating_point_v<T> && json.is_null()) {
      value = std::numeric_limits<T>::quiet_NaN();
      return;
    }
    if (!json.is_number()) throw FieldError(json, "a number");
    json.get_to(value);
  }
}

template <class T>
void decode(const Json& json, std::optional<T>& value) {
  if (json.is_null()) {
    value.reset();
  } else {
    decode(json, value.emplace());
  }
}

template <class T>
void decode(const Json& json, std::vector<T>& values) {
  if (!json.is_array()) throw FieldError(json, "a list");
  values.clear();
  for (const auto& item : json) {
    try {
      decode(item, values.emplace_back());
    } catch (const FieldError& error) {
      throw error.inside("[" + std::to_string(values.size() - 1) + "]");
    }
  }
}

}  // namespace experiments

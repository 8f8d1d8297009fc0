// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace reorder {

// The little language in which pipelines and masks are written, logged and compared:
//
//   chain := call ('|' call)*
//   call  := name [ '(' [ arg (',' arg)* ] ')' ]        name may hold ':' as in peer:docs_mean1024
//   arg   := [ key '=' ] value
//   value := number | bare word | "quoted text" | chain
//
// A bare word is a call without arguments and a text at once; whoever reads it decides. A word is
// any run of characters without white space and | ( ) { } , = "; a name that is none is quoted too.

struct Call;

/// `a|b|c`, in order.
using Chain = std::vector<Call>;

struct Argument {
  std::string key;   ///< empty when positional
  std::string text;  ///< the value as written, without quotes; of a chain, its canonical text
  Chain chain;       ///< the value as a chain; empty when it is a number or quoted
};

struct Call {
  std::string name;
  std::vector<Argument> arguments;
};

/// Throws Error{syntax} with the offending text and its column.
[[nodiscard]] Chain parse_chain(std::string_view text);

/// The canonical text of a chain: parse_chain(to_string(c)) gives c again.
[[nodiscard]] std::string to_string(const Chain& chain);

using Value = std::variant<std::int64_t, double, std::string>;

/// The text of a value as it stands in a call: quoted where it has to be, the shortest text that
/// gives a number again.
[[nodiscard]] std::string to_string(const Value& value);

/// One parameter of a strategy or generator. The type of `fallback` is its type.
struct ParamSpec {
  std::string name;
  Value fallback;
  double min = -1e308;  ///< limits of a number, both inclusive
  double max = 1e308;
  std::string summary{};
  bool required = false;
};

/// Parameters after binding: every ParamSpec has a value of its type and within its limits.
class Params {
 public:
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] double number(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] const Value& value(std::string_view name) const;
  void set(std::string name, Value value) { values_[std::move(name)] = std::move(value); }

 private:
  std::map<std::string, Value, std::less<>> values_;
};

/// Binds a call's arguments, positional ones in the order of `specs`. Throws
/// Error{unknown_name} (with the nearest name), Error{syntax} for a value of another type or
/// one given twice, and Error{invalid_argument} naming the value and its limits.
[[nodiscard]] Params bind(const Call& call, std::span<const ParamSpec> specs);

/// The canonical text of a bound call: the parameters that differ from their fallbacks, in order,
/// by position as long as none is left out before them.
[[nodiscard]] std::string canonical(std::string_view name, const Params& params,
                                    std::span<const ParamSpec> specs);

/// The candidate nearest to `name` by edit distance, or "" when none is near enough to suggest.
[[nodiscard]] std::string nearest_name(std::string_view name,
                                       std::span<const std::string> candidates);

}  // namespace reorder

// SPDX-License-Identifier: Apache-2.0
#include "reorder/spec.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <optional>

#include "reorder/error.hpp"

namespace reorder {
namespace {

/// Deeper nesting than this is a mistake, and would exhaust the stack long after.
constexpr int kMaxDepth = 64;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_word(char c) {
  return !is_space(c) && std::string_view("|(){},=\"").find(c) == std::string_view::npos;
}

std::optional<double> as_number(std::string_view text) {
  double value = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

std::optional<std::int64_t> as_integer(std::string_view text) {
  std::int64_t value = 0;
  const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc() && end == digits.data() + digits.size()) return value;
  // 1e6 and 4096.0 are integers too, as far as a double holds them exactly.
  const std::optional<double> number = as_number(text);
  if (number && std::abs(*number) <= 9007199254740992.0 && std::trunc(*number) == *number) {
    return static_cast<std::int64_t>(*number);
  }
  return {};
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

bool is_bare(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_word);
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Chain whole() {
    Chain chain = parse_chain(0);
    if (!at_end()) fail("expected '|' or the end");
    return chain;
  }

 private:
  Chain parse_chain(int depth) {
    Chain chain;
    do {
      chain.push_back(parse_call(depth));
    } while (take('|'));
    return chain;
  }

  Call parse_call(int depth) {
    skip_space();
    Call call;
    if (peek() == '"') {
      call.name = parse_quoted();
      if (call.name.empty()) fail("expected a name, found an empty text");
    } else {
      call.name = parse_word("a name");
    }
    if (take('(')) {
      if (depth == kMaxDepth) fail("nested deeper than " + std::to_string(kMaxDepth) + " levels");
      if (!take(')')) {
        do {
          call.arguments.push_back(parse_argument(depth + 1));
        } while (take(','));
        if (!take(')')) fail("expected ',' or ')'");
      }
    }
    return call;
  }

  Argument parse_argument(int depth) {
    Argument argument;
    skip_space();
    const std::size_t start = position_;
    while (is_word(peek())) ++position_;
    const std::string_view word = text_.substr(start, position_ - start);
    if (!word.empty() && take('=')) {
      argument.key = word;
    } else {
      position_ = start;
    }

    skip_space();
    const std::size_t value_start = position_;
    if (peek() == '"') {
      argument.text = parse_quoted();
      if (at_value_end()) return argument;
    } else {
      argument.text = parse_word("a value");
      if (at_value_end() && as_number(argument.text)) return argument;
    }
    position_ = value_start;
    argument.chain = parse_chain(depth);
    argument.text = to_string(argument.chain);
    if (argument.chain.size() == 1 && argument.chain[0].arguments.empty()) {
      argument.text = argument.chain[0].name;  // a bare word: text and call at once
    }
    return argument;
  }

  std::string parse_word(const char* expected) {
    const std::size_t start = position_;
    while (is_word(peek())) ++position_;
    if (position_ == start) fail(std::string("expected ") + expected);
    return std::string(text_.substr(start, position_ - start));
  }

  std::string parse_quoted() {
    const std::size_t start = position_++;
    std::string result;
    while (position_ < text_.size() && text_[position_] != '"') {
      if (text_[position_] == '\\' && position_ + 1 < text_.size()) ++position_;
      result += text_[position_++];
    }
    if (position_ == text_.size()) {
      position_ = start;
      fail("this quote is never closed");
    }
    ++position_;
    return result;
  }

  bool at_value_end() {
    skip_space();
    return at_end() || peek() == ',' || peek() == ')';
  }

  bool take(char c) {
    skip_space();
    if (peek() != c) return false;
    ++position_;
    return true;
  }

  void skip_space() {
    while (position_ < text_.size() && is_space(text_[position_])) ++position_;
  }
  bool at_end() {
    skip_space();
    return position_ >= text_.size();
  }
  /// The next character; one that belongs to no word at the end.
  [[nodiscard]] char peek() const { return position_ < text_.size() ? text_[position_] : ' '; }

  [[noreturn]] void fail(const std::string& what) const {
    const std::string found = position_ < text_.size()
                                  ? ", found '" + std::string(1, text_[position_]) + "'"
                                  : ", found the end";
    throw Error(ErrorCode::syntax, what + (what.starts_with("expected") ? found : "") +
                                       " at column " + std::to_string(position_ + 1) + " of '" +
                                       std::string(text_) + "'");
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

std::string number_text(double value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, result.ptr};
}

std::string limits_text(const ParamSpec& spec) {
  const bool low = spec.min > -1e308;
  const bool high = spec.max < 1e308;
  if (low && high) return "in [" + number_text(spec.min) + ", " + number_text(spec.max) + "]";
  if (low) return "at least " + number_text(spec.min);
  return "at most " + number_text(spec.max);
}

Value convert(const std::string& owner, const ParamSpec& spec, const std::string& text) {
  const std::string what = owner + ": " + spec.name;
  const auto check = [&](double value) {
    if (value < spec.min || value > spec.max) {
      throw Error(ErrorCode::invalid_argument,
                  what + " is " + text + ", but must be " + limits_text(spec));
    }
  };
  if (std::holds_alternative<std::int64_t>(spec.fallback)) {
    const std::optional<std::int64_t> value = as_integer(text);
    if (!value) {
      // 1e20 is an integer too, but outside of any limits.
      const std::optional<double> number = as_number(text);
      if (number && std::trunc(*number) == *number) check(*number);
      throw Error(ErrorCode::syntax, what + " must be an integer, not '" + text + "'");
    }
    check(static_cast<double>(*value));
    return *value;
  }
  if (std::holds_alternative<double>(spec.fallback)) {
    const std::optional<double> value = as_number(text);
    if (!value) throw Error(ErrorCode::syntax, what + " must be a number, not '" + text + "'");
    check(*value);
    return *value;
  }
  return text;
}

std::string at_most(std::size_t parameters) {
  if (parameters == 0) return "no parameters";
  return "at most " + std::to_string(parameters) + (parameters == 1 ? " parameter" : " parameters");
}

std::vector<std::string> names_of(std::span<const ParamSpec> specs) {
  std::vector<std::string> names;
  for (const ParamSpec& spec : specs) names.push_back(spec.name);
  return names;
}

}  // namespace

Chain parse_chain(std::string_view text) {
  return Parser(text).whole();
}

std::string to_string(const Chain& chain) {
  std::string result;
  for (const Call& call : chain) {
    if (!result.empty()) result += '|';
    result += is_bare(call.name) ? call.name : quoted(call.name);
    if (call.arguments.empty()) continue;
    const char* separator = "(";
    for (const Argument& argument : call.arguments) {
      result += separator;
      separator = ",";
      if (!argument.key.empty()) result += argument.key + '=';
      if (!argument.chain.empty()) {
        result += to_string(argument.chain);
      } else {
        result += as_number(argument.text) ? argument.text : quoted(argument.text);
      }
    }
    result += ')';
  }
  return result;
}

std::string to_string(const Value& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value)) return number_text(*number);
  const std::string& text = std::get<std::string>(value);
  return is_bare(text) ? text : quoted(text);
}

std::int64_t Params::integer(std::string_view name) const {
  const auto found = values_.find(name);
  assert(found != values_.end() && "the strategy lists no such parameter");
  return std::get<std::int64_t>(found->second);
}

double Params::number(std::string_view name) const {
  const auto found = values_.find(name);
  assert(found != values_.end() && "the strategy lists no such parameter");
  return std::get<double>(found->second);
}

const std::string& Params::text(std::string_view name) const {
  const auto found = values_.find(name);
  assert(found != values_.end() && "the strategy lists no such parameter");
  return std::get<std::string>(found->second);
}

const Value& Params::value(std::string_view name) const {
  const auto found = values_.find(name);
  assert(found != values_.end() && "the strategy lists no such parameter");
  return found->second;
}

Params bind(const Call& call, std::span<const ParamSpec> specs) {
  Params params;
  std::vector<bool> given(specs.size());
  std::size_t next_positional = 0;
  for (const Argument& argument : call.arguments) {
    std::size_t index = 0;
    if (argument.key.empty()) {
      index = next_positional++;
      if (index >= specs.size()) {
        throw Error(ErrorCode::syntax, call.name + " takes " + at_most(specs.size()) + ", not " +
                                           std::to_string(call.arguments.size()));
      }
    } else {
      while (index < specs.size() && specs[index].name != argument.key) ++index;
      if (index == specs.size()) {
        const std::vector<std::string> names = names_of(specs);
        const std::string nearest = nearest_name(argument.key, names);
        throw Error(ErrorCode::unknown_name,
                    call.name + " has no parameter '" + argument.key + "'" +
                        (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
      }
    }
    if (given[index]) {
      throw Error(ErrorCode::syntax, call.name + ": " + specs[index].name + " is given twice");
    }
    given[index] = true;
    params.set(specs[index].name, convert(call.name, specs[index], argument.text));
  }
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (given[i]) continue;
    if (specs[i].required) {
      throw Error(ErrorCode::syntax, call.name + " needs the parameter '" + specs[i].name + "'");
    }
    params.set(specs[i].name, specs[i].fallback);
  }
  return params;
}

std::string canonical(std::string_view name, const Params& params,
                      std::span<const ParamSpec> specs) {
  std::string arguments;
  bool positional = true;
  for (const ParamSpec& spec : specs) {
    const Value& value = params.value(spec.name);
    if (value == spec.fallback && !spec.required) {
      positional = false;
      continue;
    }
    if (!arguments.empty()) arguments += ',';
    if (!positional) arguments += spec.name + '=';
    arguments += to_string(value);
  }
  return std::string(name) + (arguments.empty() ? "" : '(' + arguments + ')');
}

std::string nearest_name(std::string_view name, std::span<const std::string> candidates) {
  // Edit distance with transpositions of neighbours, three rows at a time.
  const auto distance = [](std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> above(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      row[0] = i;
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const std::size_t changed = above[j - 1] + (a[i - 1] != b[j - 1]);
        row[j] = std::min({changed, above[j] + 1, row[j - 1] + 1});
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
          row[j] = std::min(row[j], before[j - 2] + 1);
        }
      }
      std::swap(before, above);
      std::swap(above, row);
    }
    return above[b.size()];
  };
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t d = distance(name, candidate);
    if (d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

}  // namespace reorder

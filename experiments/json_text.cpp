// SPDX-License-Identifier: Apache-2.0
#include "experiments/json_text.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <set>
#include <string_view>
#include <vector>

#include "experiments/text.hpp"

namespace experiments {
namespace {

/// The library tells of the first mistake by the last byte it read, and by a sentence of which only
/// `theirs` is used.
struct Words {
  std::string_view theirs, ours;
  std::string_view begin = "";  ///< of a broken token: what it begins with; "" for a number
};
constexpr std::array<Words, 6> kExpected{{
    {"; expected end of input", "the end"},
    {"while parsing object key", "a key in quotes"},
    {"while parsing object separator", "':' behind the key"},
    {"while parsing object", "',' or '}'"},
    {"while parsing array", "',' or ']'"},
    {"while parsing value", "a value"},
}};
constexpr std::array<Words, 7> kBroken{{
    {"missing closing quote", "these quotes are never closed", "\""},
    {"control character", "these quotes are not closed in their line", "\""},
    {"ill-formed UTF-8", "this text is not UTF-8", "\""},
    {"invalid string", "this text has a backslash that means nothing", "\""},
    {"missing closing '*/'", "this comment is never closed", "/*"},
    {"invalid comment", "this begins no comment", "/"},
    {"invalid number", "this is no number"},
}};

template <std::size_t kCount>
const Words* find_words(std::string_view sentence, const std::array<Words, kCount>& all) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Words& words) {
    return sentence.find(words.theirs) != std::string_view::npos;
  });
  return found == all.end() ? nullptr : &*found;
}

bool in_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || byte >= 0x80 || c == '_' || c == '.' || c == '-';
}

/// Reads nothing but finds what is wrong.
class Check final : public Json::json_sax_t {
 public:
  Check(const std::string& text, const std::string& file) : text_(text), file_(file) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(std::int64_t) override { return true; }
  bool number_unsigned(std::uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(Json::binary_t&) override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    return true;
  }
  bool key(std::string& key) override {
    if (keys_.back().insert(key).second) return true;
    throw JsonError(file_ + ": the key '" + key + "' is given twice");
  }
  bool parse_error(std::size_t end, const std::string& last_read,
                   const nlohmann::detail::exception& error) override {
    const std::string_view sentence = error.what();
    end = std::min(end, text_.size() + 1);
    if (dynamic_cast<const Json::out_of_range*>(&error) != nullptr) {
      fail(end - last_read.size(), "the number " + last_read + " is too large");
    }
    if (const Words* broken = find_words(sentence, kBroken)) {
      fail(begin_of(end, broken->begin), "not JSON: " + std::string(broken->ours));
    }
    // A word ends at the first byte that is not as it should be, which may stand behind it.
    const bool behind = !in_word_at(end - 1) && end > 1 && in_word_at(end - 2);
    if (behind && sentence.find("invalid literal") != std::string_view::npos) --end;
    const std::string_view found = token(end);
    const Words* const expected = find_words(sentence, kExpected);
    fail(static_cast<std::size_t>(found.data() - text_.data()),
         "not JSON" + (expected == nullptr ? "" : ": expected " + std::string(expected->ours)) +
             ", found " + (found.empty() ? "the end" : "'" + elide(found, 40) + "'"));
  }

 private:
  [[nodiscard]] bool in_word_at(std::size_t place) const {
    return place < text_.size() && in_word(text_[place]);
  }

  /// Of what begins with these signs, or of a word, whose last byte read was the `end`th.
  [[nodiscard]] std::size_t begin_of(std::size_t end, std::string_view signs) const {
    std::size_t begin = end - 1;
    if (signs.empty()) {
      while (begin > 0 && in_word(text_[begin - 1])) --begin;
      return begin;
    }
    const auto is_escaped = [&] { return begin > 0 && text_[begin - 1] == '\\'; };
    do {
      begin = text_.rfind(signs, begin - 1);
    } while (is_escaped());
    return begin;
  }

  /// The token whose last byte read was the `end`th: a text, a word or a sign.
  [[nodiscard]] std::string_view token(std::size_t end) const {
    if (end > text_.size()) return std::string_view(text_).substr(text_.size());
    std::size_t begin = end - 1;
    if (text_[begin] == '"') {
      begin = begin_of(end, "\"");
    } else if (in_word(text_[begin])) {
      begin = begin_of(end, "");
      while (in_word_at(end)) ++end;
    }
    return std::string_view(text_).substr(begin, end - begin);
  }

  [[noreturn]] void fail(std::size_t at, const std::string& what) const {
    const std::string_view before(text_.data(), std::min(at, text_.size()));
    const std::size_t line_begin = before.rfind('\n') + 1;  // 0 in the first line
    throw JsonError(file_ + ":" +
                    std::to_string(1 + std::count(before.begin(), before.end(), '\n')) + ":" +
                    std::to_string(before.size() - line_begin + 1) + ": " + what);
  }

  const std::string& text_;
  const std::string& file_;
  std::vector<std::set<std::string>> keys_;  ///< of the objects that are open
};

}  // namespace

Json parse_json(const std::string& text, const std::string& file) {
  Check check(text, file);
  (void)Json::sax_parse(text, &check, Json::input_format_t::json, /*strict=*/true,
                        /*ignore_comments=*/true);
  return Json::parse(text, nullptr, /*allow_exceptions=*/true, /*ignore_comments=*/true);
}

}  // namespace experiments

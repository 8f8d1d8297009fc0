// SPDX-License-Identifier: Apache-2.0
#include "experiments/mask_text.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "experiments/text.hpp"
#include "masks/mask.hpp"
#include "reorder/error.hpp"
#include "reorder/spec.hpp"

namespace experiments {
namespace {

using reorder::Error;
using reorder::ErrorCode;

/// The text up to the first '|' outside quotes.
std::string_view first_part(std::string_view text) {
  bool quoted = false;
  std::size_t end = 0;
  for (; end < text.size() && (quoted || text[end] != '|'); ++end) quoted ^= text[end] == '"';
  return text.substr(0, end);
}

bool names_a_file(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // masks::make tells files from generators by these endings.
  constexpr const char* kEndings[] = {".mtx", ".mtx.gz", ".npz", ".npy"};
  return std::any_of(std::begin(kEndings), std::end(kEndings), [&](const char* ending) {
    return lower.size() > std::strlen(ending) && lower.ends_with(ending);
  });
}

void check_readable(const std::string& file) {
  errno = 0;
  const bool folder = std::filesystem::is_directory(file);
  if (!folder && std::ifstream(file).good()) return;
  throw Error(ErrorCode::bad_file,
              file + ": cannot open: " + std::strerror(folder ? EISDIR : errno));
}

/// Binds the call to the generator, or to the modifier, that it names.
void check_call(const reorder::Call& call, bool modifier) {
  std::vector<std::string> names;
  for (const auto& info : masks::generators()) {
    if (info.is_modifier != modifier) continue;
    if (info.name == call.name) {
      (void)reorder::bind(call, info.params);
      return;
    }
    names.push_back(info.name);
  }
  throw Error(ErrorCode::unknown_name, std::string("no mask ") +
                                           (modifier ? "modifier" : "generator") + " is named '" +
                                           call.name + "'" + did_you_mean(call.name, names));
}

}  // namespace

std::string mask_file(std::string_view text) {
  std::string_view first = first_part(text);
  constexpr const char* kBlanks = " \t\n\r";
  const std::size_t begin = first.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return "";
  first = first.substr(begin, first.find_last_not_of(kBlanks) + 1 - begin);
  if (first.size() >= 2 && first.front() == '"' && first.back() == '"') {
    first = first.substr(1, first.size() - 2);
  }
  return names_a_file(first) ? std::string(first) : "";
}

void check_mask(std::string_view text) {
  const std::string file = mask_file(text);
  const std::string_view source = first_part(text);
  reorder::Chain calls;
  if (file.empty()) {
    calls = reorder::parse_chain(text);
    check_call(calls.at(0), /*modifier=*/false);
    calls.erase(calls.begin());
  } else {
    check_readable(file);
    if (source.size() < text.size()) calls = reorder::parse_chain(text.substr(source.size() + 1));
  }
  for (const auto& call : calls) check_call(call, /*modifier=*/true);
}

}  // namespace experiments

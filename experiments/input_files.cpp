// SPDX-License-Identifier: Apache-2.0
#include "experiments/input_files.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>

#include "experiments/parameters.hpp"
#include "masks/mask.hpp"
#include "reorder/spec.hpp"

namespace experiments {
namespace {

std::string fingerprint(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<char> block(std::size_t{1} << 20);
  uLong crc = ::crc32(0, nullptr, 0);
  std::uint64_t size = 0;
  while (in) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    const auto length = static_cast<uInt>(in.gcount());
    crc = ::crc32(crc, reinterpret_cast<const Bytef*>(block.data()), length);
    size += length;
  }
  if (!in.eof()) return "";
  char digits[16];
  std::snprintf(digits, sizeof digits, "%08lx", static_cast<unsigned long>(crc));
  return digits + ("/" + std::to_string(size));
}

}  // namespace

std::vector<InputFile> InputFiles::of(const Problem& problem) {
  std::vector<InputFile> files;
  if (const std::string file = masks::source_file(problem.mask); !file.empty()) add(files, file);
  add(files, reorder::parse_chain(problem.pipeline));
  std::string calibration = calibration_of(problem.objective);
  if (calibration.empty()) calibration = problem.cost_model;
  if (!calibration.empty()) add(files, calibration);
  return files;
}

void InputFiles::add(std::vector<InputFile>& files, const std::string& path) {
  const auto [known, is_new] = fingerprints_.try_emplace(path);
  if (is_new) known->second = fingerprint(path);
  files.push_back({path, known->second});
}

void InputFiles::add(std::vector<InputFile>& files, const reorder::Chain& chain) {
  for (const auto& call : chain) {
    if (const auto plugin = plugins_.find(call.name); plugin != plugins_.end()) {
      add(files, plugin->second.string());
    }
    if (call.name == "file") {
      const auto params = reorder::bind(call, registry_.find(call.name)->info().params);
      for (const char* side : {"rows", "cols"}) {
        if (const auto& path = params.text(side); !path.empty()) add(files, path);
      }
      continue;
    }
    for (const auto& argument : call.arguments) add(files, argument.chain);  // best_of(a, b)
  }
}

bool same_content(const std::vector<InputFile>& a, const std::vector<InputFile>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(),
      [](const InputFile& x, const InputFile& y) { return x.fingerprint == y.fingerprint; });
}

}  // namespace experiments

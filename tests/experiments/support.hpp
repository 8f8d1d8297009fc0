// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "experiments/record.hpp"

namespace experiments::test {

/// A folder that lives as long as this object.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "blockfill_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed for " + name);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
    return path_ / name;
  }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string slurp(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void spit(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  out << text;
  ASSERT_TRUE(out.good()) << file;
}

/// A record in which every part is present and no two numbers are equal by chance.
inline Record sample_record(const std::string& mask = "causal(n=64)") {
  Record r;
  r.problem.mask = mask;
  r.problem.pipeline = "peel(8)|rcm";
  r.problem.kv_heads = 2;
  r.problem.seed = 18446744073709551615ULL;
  r.problem.pass = "both";
  r.key = key_of(r.problem);
  r.status = "ok";
  r.label = "causal, \"quoted\"";
  r.time = "2026-01-02T03:04:05Z";
  r.mask = {mask, "a note, with a comma", 64, 65, 2080};
  r.ordering.pipeline = "peel(8)|rcm";
  r.ordering.objective = "tiles{128,128}";
  r.ordering.reordered = true;
  r.ordering.stages = {{"peel(8)", 0.5, {}}, {"rcm", 1.5, 3}};
  r.ordering.candidates = {{"natural", 0.25, 4, "", false}, {"amd", 0, 0, "no AMD", false}};
  r.lower_bound = 2;
  r.before = {1, 4, 1, 3, 0.5, 1.25};
  r.after = {1, 3, 2, 1, 0.75, 1.0};
  r.walk = WalkFacts{"8x8", "24x16", {1, 5, 6, 3, 1, 2, 3}, {2, 3, 4, 3, 2, 0, 2}};
  Times t;
  t.ordering = {2, 1.5, 2.5, 1.25, 7};
  t.permute = Timing{0.5, 0.4, 0.6, 0.3, 5};
  t.build_natural = {0.2, 0.1, 0.3, 0.1, 5};
  t.build_permuted = Timing{0.3, 0.2, 0.4, 0.1, 5};
  t.natural = {10, 9, 11, 8, 5};
  t.permuted = Timing{6, 5, 7, 4, 5};
  t.gather = Timing{1, 1, 1, 1, 5};
  t.scatter = Timing{0.5, 0.5, 0.5, 0.5, 5};
  t.fused = Timing{6.5, 6, 7, 6, 5};
  t.natural_passes = PassTimes{{3, 2, 4, 2, 5}, {7, 6, 8, 6, 5}};
  t.permuted_passes = PassTimes{{2, 1, 3, 1, 5}, {4, 3, 5, 3, 5}};
  t.fused_passes = PassTimes{{2.5, 2, 3, 2, 5}, {4, 3, 5, 3, 5}};
  r.ms = t;
  r.flops = 1e9;
  r.best_path = "fused";
  r.permuted_call_ms = 6.5;
  r.break_even_calls = 1;
  r.verification = {"whole", 256, 256, 1e-7, 1e-5, 2e-7, 1e-14, ""};
  r.gradients = GradientVerification{"whole", 256, 260, 1e-7, 2e-7, 3e-7, 1e-5, 1e-5, 1e-5, 1e-14};
  r.environment = {"a CPU", "avx2", 2, "", "Linux", "GNU 12", "Release", "0.1.0", "abc"};
  return r;
}

}  // namespace experiments::test

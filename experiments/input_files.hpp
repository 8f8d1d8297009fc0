// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "experiments/fields.hpp"
#include "experiments/plugins.hpp"
#include "experiments/problem.hpp"

namespace experiments {

/// A file that a result depends on, as it was.
struct InputFile {
  std::string path;
  std::string fingerprint;  ///< CRC-32 and size of its bytes, "1c291ca3/42"; "" when unreadable
};

template <class T, class Visit>
requires Is<T, InputFile>
void fields(T& f, Visit&& visit) {
  visit("path", f.path);
  visit("fingerprint", f.fingerprint);
}

/// Finds the files that problems refer to: masks, orders that `file(rows,cols)` reads, plugins.
/// Each file is read once for all problems.
class InputFiles {
 public:
  /// Keeps a reference to the registry.
  InputFiles(const reorder::Registry& registry, PluginFiles plugins)
      : registry_(registry), plugins_(std::move(plugins)) {}

  /// The mask's file first, then those of the pipeline from left to right. Throws
  /// reorder::Error{syntax} for a pipeline that does not parse.
  [[nodiscard]] std::vector<InputFile> of(const Problem& problem);

 private:
  void add(std::vector<InputFile>& files, const std::string& path);
  void add(std::vector<InputFile>& files, const reorder::Chain& chain);

  const reorder::Registry& registry_;
  PluginFiles plugins_;
  std::map<std::string, std::string> fingerprints_;
};

/// Whether both have the same content; a file may have moved.
[[nodiscard]] bool same_content(const std::vector<InputFile>& a, const std::vector<InputFile>& b);

}  // namespace experiments

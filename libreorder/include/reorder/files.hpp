// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

namespace reorder {

/// The bytes of a whole file. Throws Error{bad_file} with the path and the system's reason.
[[nodiscard]] std::string read_file(const std::filesystem::path& file);

/// A file that appears under its name only when it is whole: the bytes go to a file beside it,
/// which `commit` renames. Without a commit that file is removed and an older one stays as it was.
/// What is no ordinary file (a pipe, /dev/stdout) is written in place, for renaming would replace
/// it.
class OutputFile {
 public:
  /// Throws Error{bad_file}, as do the others.
  explicit OutputFile(std::filesystem::path file);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  void write(std::string_view bytes);

  /// Once, after the last write.
  void commit();

 private:
  [[noreturn]] void fail(const char* what, int error) const;
  void remove() const noexcept;

  std::filesystem::path file_;
  std::filesystem::path target_;  ///< where the bytes go: beside `file_`, or `file_` itself
  std::FILE* stream_ = nullptr;
};

/// All of a file at once: a full disk leaves an older file as it was. Throws Error{bad_file}.
void write_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace reorder

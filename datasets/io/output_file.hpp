// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace masks {

/// Where writers put their bytes. Throws Error{bad_file}.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(std::string_view bytes) = 0;
};

/// A file that appears under its name only when it is whole: it is written beside it and renamed by
/// `commit`. Without a commit, the temporary file is removed and an older file stays as it was.
class OutputFile final : public ByteSink {
 public:
  explicit OutputFile(std::filesystem::path path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() override;

  void write(std::string_view bytes) override;
  void commit();

 private:
  [[noreturn]] void fail(int error_number) const;

  std::filesystem::path path_;
  std::string temporary_;
  std::FILE* file_ = nullptr;
};

/// Passes bytes on to another sink in the gzip format, after `finish`.
class GzipSink final : public ByteSink {
 public:
  explicit GzipSink(ByteSink& below);
  ~GzipSink() override;

  void write(std::string_view bytes) override;
  void finish();

 private:
  struct Deflater;
  void deflate(std::string_view bytes, int flush);

  ByteSink& below_;
  std::unique_ptr<Deflater> deflater_;
};

}  // namespace masks

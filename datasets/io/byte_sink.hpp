// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include "reorder/files.hpp"

namespace masks {

/// Where writers put their bytes. Throws Error{bad_file}.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(std::string_view bytes) = 0;
};

/// Passes bytes on to a file that appears when it is whole.
class FileSink final : public ByteSink {
 public:
  explicit FileSink(std::filesystem::path path) : file_(std::move(path)) {}

  void write(std::string_view bytes) override { file_.write(bytes); }
  void commit() { file_.commit(); }

 private:
  reorder::OutputFile file_;
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

// SPDX-License-Identifier: Apache-2.0
#include "byte_source.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "reorder/error.hpp"

namespace masks {
namespace {

[[noreturn]] void fail(const std::string& name, const std::string& what) {
  throw reorder::Error(reorder::ErrorCode::bad_file, name + ": " + what);
}

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::string_view bytes, std::string name)
      : size_(bytes.size()), rest_(bytes), name_(std::move(name)) {}

  std::size_t read(std::span<char> buffer) override {
    const std::size_t count = rest_.copy(buffer.data(), buffer.size());
    rest_.remove_prefix(count);
    return count;
  }
  [[nodiscard]] std::uint64_t max_size() const override { return size_; }
  [[nodiscard]] const std::string& name() const override { return name_; }

 private:
  std::uint64_t size_;
  std::string_view rest_;
  std::string name_;
};

std::uint64_t checked_size(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) fail(path.string(), "is a folder, not a file");
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) fail(path.string(), "cannot open: " + error.message());
  return size;
}

class FileSource final : public ByteSource {
 public:
  explicit FileSource(const std::filesystem::path& path)
      : name_(path.string()), size_(checked_size(path)), file_(gzopen(path.c_str(), "rb")) {
    if (!file_) fail(name_, std::string("cannot open: ") + std::strerror(errno));
    gzbuffer(file_.get(), 1U << 20);
    if (!gzdirect(file_.get())) size_ *= kMaxDeflateRatio;
  }

  std::size_t read(std::span<char> buffer) override {
    std::size_t done = 0;
    while (done < buffer.size()) {
      const auto wanted =
          static_cast<unsigned>(std::min<std::size_t>(buffer.size() - done, 1U << 30));
      const int got = gzread(file_.get(), buffer.data() + done, wanted);
      if (got > 0) {
        done += static_cast<std::size_t>(got);
        continue;
      }
      int code = Z_OK;
      const char* text = gzerror(file_.get(), &code);
      if (code == Z_OK || code == Z_STREAM_END) break;
      if (code == Z_BUF_ERROR) fail(name_, "the compressed data end too soon");
      if (code == Z_ERRNO) fail(name_, std::strerror(errno));
      fail(name_, "the compressed data are damaged (" + std::string(text) + ")");
    }
    return done;
  }
  [[nodiscard]] std::uint64_t max_size() const override { return size_; }
  [[nodiscard]] const std::string& name() const override { return name_; }

 private:
  struct Close {
    void operator()(gzFile file) const { gzclose_r(file); }
  };
  std::string name_;
  std::uint64_t size_;
  std::unique_ptr<std::remove_pointer_t<gzFile>, Close> file_;
};

}  // namespace

std::unique_ptr<ByteSource> open_memory(std::string_view bytes, std::string name) {
  return std::make_unique<MemorySource>(bytes, std::move(name));
}

std::unique_ptr<ByteSource> open_file(const std::filesystem::path& path) {
  return std::make_unique<FileSource>(path);
}

}  // namespace masks

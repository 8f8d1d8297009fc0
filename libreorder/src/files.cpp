// SPDX-License-Identifier: Apache-2.0
#include "reorder/files.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#include "reorder/error.hpp"

namespace reorder {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 16;

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

[[noreturn]] void throw_error(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorCode::bad_file, file.string() + ": " + what);
}

[[noreturn]] void throw_error(const std::filesystem::path& file, const char* what, int error) {
  throw_error(file, what + (": " + std::generic_category().message(error)));
}

bool can_be_replaced(const std::filesystem::path& file) {
  std::error_code unknown;  // of a folder that cannot be searched; opening tells the reason
  const auto status = std::filesystem::status(file, unknown);
  return !std::filesystem::exists(status) || std::filesystem::is_regular_file(status);
}

/// What a link stands for: a rename would put the file in the place of the link.
std::filesystem::path behind_links(std::filesystem::path file) {
  constexpr int kMost = 40;  // as Linux, for a ring of links
  std::error_code error;
  for (int i = 0; i < kMost && std::filesystem::is_symlink(file, error); ++i) {
    file = file.parent_path() / std::filesystem::read_symlink(file, error);
  }
  return file;
}

/// A name in the same folder that no other thread or process uses.
std::filesystem::path name_beside(std::filesystem::path file) {
  static std::atomic<unsigned> counter{0};
  file += ".part" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  return file;
}

}  // namespace

std::string read_file(const std::filesystem::path& file) {
  std::error_code no_status;
  if (std::filesystem::is_directory(file, no_status)) {
    throw_error(file, "is a folder, not a file");
  }
  const std::unique_ptr<std::FILE, Close> stream(std::fopen(file.c_str(), "rb"));
  if (!stream) throw_error(file, "cannot open", errno);
  // A pipe does not tell its size.
  std::error_code no_size;
  const std::uintmax_t size = std::filesystem::file_size(file, no_size);
  std::string bytes(no_size ? 0 : size + 1, '\0');  // one more, to meet the end
  std::size_t read = 0;
  do {
    if (read == bytes.size()) bytes.resize(read + kPiece);
    read += std::fread(bytes.data() + read, 1, bytes.size() - read, stream.get());
  } while (!std::feof(stream.get()) && !std::ferror(stream.get()));
  if (std::ferror(stream.get())) throw_error(file, "cannot read", errno);
  bytes.resize(read);
  return bytes;
}

OutputFile::OutputFile(std::filesystem::path file)
    : file_(behind_links(std::move(file))),
      target_(can_be_replaced(file_) ? name_beside(file_) : file_) {
  stream_ = std::fopen(target_.c_str(), "wb");
  if (stream_ == nullptr) fail("cannot create", errno);
}

OutputFile::~OutputFile() {
  if (stream_ == nullptr) return;
  std::fclose(stream_);
  remove();
}

void OutputFile::write(std::string_view bytes) {
  if (bytes.empty()) return;  // an empty view may be a null pointer
  if (std::fwrite(bytes.data(), 1, bytes.size(), stream_) != bytes.size()) {
    fail("cannot write", errno);
  }
}

void OutputFile::commit() {
  // Some file systems say only at the flush, the sync or the close that the disk is full.
  if (std::fflush(stream_) != 0) fail("cannot write", errno);
  const bool in_place = target_ == file_;
  if (!in_place && ::fsync(::fileno(stream_)) != 0) fail("cannot write", errno);
  const bool closed = std::fclose(std::exchange(stream_, nullptr)) == 0;
  if (!closed || (!in_place && std::rename(target_.c_str(), file_.c_str()) != 0)) {
    const int error = errno;
    remove();
    fail("cannot write", error);
  }
}

void OutputFile::fail(const char* what, int error) const {
  throw_error(file_, what, error);
}

void OutputFile::remove() const noexcept {
  if (target_ != file_) std::remove(target_.c_str());
}

void write_file(const std::filesystem::path& file, std::string_view bytes) {
  OutputFile output(file);
  output.write(bytes);
  output.commit();
}

}  // namespace reorder

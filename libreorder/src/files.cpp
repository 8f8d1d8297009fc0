// SPDX-License-Identifier: Apache-2.0
#include "files.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <system_error>

#include "reorder/error.hpp"

namespace reorder {
namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

[[noreturn]] void fail(const char* what, const std::filesystem::path& file, int error) {
  throw Error(ErrorCode::bad_file, std::string("cannot ") + what + " '" + file.string() +
                                       "': " + std::generic_category().message(error));
}

}  // namespace

std::string read_file(const std::filesystem::path& file) {
  const std::unique_ptr<std::FILE, Close> stream(std::fopen(file.c_str(), "rb"));
  if (!stream) fail("open", file, errno);
  std::string bytes;
  char buffer[1 << 16];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, stream.get())) {
    bytes.append(buffer, n);
  }
  if (std::ferror(stream.get())) fail("read", file, errno);
  return bytes;
}

void write_file(const std::filesystem::path& file, std::string_view bytes) {
  // What is no ordinary file, a pipe or /dev/stdout, is written in place: renaming would replace
  // it.
  const auto status = std::filesystem::status(file);
  const bool in_place =
      std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  std::filesystem::path temporary = file;
  if (!in_place) temporary += ".tmp" + std::to_string(::getpid());
  std::unique_ptr<std::FILE, Close> stream(std::fopen(temporary.c_str(), "wb"));
  if (!stream) fail("write", file, errno);
  errno = 0;
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), stream.get()) == bytes.size() &&
                       std::fflush(stream.get()) == 0;
  const int write_error = errno;
  const bool closed = std::fclose(stream.release()) == 0;
  const int close_error = errno;
  std::error_code error;
  if (!written || !closed) {
    if (!in_place) std::filesystem::remove(temporary, error);
    fail("write", file, written ? close_error : write_error);
  }
  if (in_place) return;
  std::filesystem::rename(temporary, file, error);
  if (error) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    fail("write", file, error.value());
  }
}

}  // namespace reorder

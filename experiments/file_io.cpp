// SPDX-License-Identifier: Apache-2.0
#include "experiments/file_io.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "reorder/error.hpp"

namespace experiments {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const char* what, int error) {
  throw reorder::Error(reorder::ErrorCode::bad_file,
                       file.string() + ": " + what + ": " + std::strerror(error));
}

}  // namespace

std::string read_text(const std::filesystem::path& file) {
  if (std::filesystem::is_directory(file)) fail(file, "cannot read", EISDIR);
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) fail(file, "cannot open", errno);
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) fail(file, "cannot read", errno);
  return std::move(text).str();
}

void write_whole(const std::filesystem::path& file, std::string_view bytes) {
  // A device such as /dev/stdout cannot be replaced by renaming.
  const auto status = std::filesystem::status(file);
  const bool replace = !std::filesystem::exists(status) || std::filesystem::is_regular_file(status);
  std::filesystem::path target = file;
  if (replace) target += ".tmp" + std::to_string(::getpid());
  const auto give_up = [&](const char* what, int error) {
    if (replace) {
      std::error_code ignored;
      std::filesystem::remove(target, ignored);
    }
    fail(file, what, error);
  };
  errno = 0;
  std::ofstream out(target, std::ios::binary | std::ios::trunc);
  if (!out) fail(file, "cannot create", errno);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) give_up("cannot write", errno);
  if (!replace) return;
  std::error_code error;
  std::filesystem::rename(target, file, error);
  if (error) give_up("cannot write", error.value());
}

}  // namespace experiments

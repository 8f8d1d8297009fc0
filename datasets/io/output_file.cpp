// SPDX-License-Identifier: Apache-2.0
#include "output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "reorder/error.hpp"

namespace masks {
namespace {

/// A name in the same folder that no other thread or process uses.
std::string temporary_name(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter{0};
  return path.string() + ".part" + std::to_string(getpid()) + "-" + std::to_string(counter++);
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(temporary_name(path_)) {
  file_ = std::fopen(temporary_.c_str(), "wbx");
  if (file_ == nullptr) fail(errno);
}

OutputFile::~OutputFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::remove(temporary_.c_str());
}

void OutputFile::write(std::string_view bytes) {
  if (bytes.empty()) return;  // an empty view may be a null pointer
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail(errno);
}

void OutputFile::commit() {
  // Some file systems say only at the flush, the sync or the close that the disk is full.
  if (std::fflush(file_) != 0 || fsync(fileno(file_)) != 0) fail(errno);
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  if (!closed || std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error_number = errno;
    std::remove(temporary_.c_str());
    fail(error_number);
  }
}

void OutputFile::fail(int error_number) const {
  throw reorder::Error(reorder::ErrorCode::bad_file,
                       path_.string() + ": cannot be written: " + std::strerror(error_number));
}

struct GzipSink::Deflater {
  z_stream stream{};
  std::vector<char> output = std::vector<char>(std::size_t{1} << 18);
};

GzipSink::GzipSink(ByteSink& below) : below_(below), deflater_(std::make_unique<Deflater>()) {
  constexpr int kFast = 1;  // digits compress nearly as well as at level 6, in a third of the time
  constexpr int kGzipFormat = MAX_WBITS + 16;
  constexpr int kDefaultMemory = 8;
  if (deflateInit2(&deflater_->stream, kFast, Z_DEFLATED, kGzipFormat, kDefaultMemory,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
}

GzipSink::~GzipSink() {
  deflateEnd(&deflater_->stream);
}

void GzipSink::write(std::string_view bytes) {
  deflate(bytes, Z_NO_FLUSH);
}

void GzipSink::finish() {
  deflate({}, Z_FINISH);
}

void GzipSink::deflate(std::string_view bytes, int flush) {
  z_stream& stream = deflater_->stream;
  std::vector<char>& output = deflater_->output;
  constexpr std::size_t kPiece = std::size_t{1} << 30;  // zlib counts in 32 bits
  do {
    const std::string_view piece = bytes.substr(0, kPiece);
    bytes.remove_prefix(piece.size());
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream.avail_in = static_cast<uInt>(piece.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(output.data());
      stream.avail_out = static_cast<uInt>(output.size());
      ::deflate(&stream, flush);
      below_.write({output.data(), output.size() - stream.avail_out});
    } while (stream.avail_out == 0);
  } while (!bytes.empty());
}

}  // namespace masks

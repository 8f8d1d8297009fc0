// SPDX-License-Identifier: Apache-2.0
#include "byte_sink.hpp"

#include <zlib.h>

#include <new>
#include <vector>

namespace masks {
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

// SPDX-License-Identifier: Apache-2.0
#include "zip_writer.hpp"

#include <zlib.h>

#include <cassert>

#include "io/little_endian.hpp"
#include "io/zip_format.hpp"

namespace masks {

using namespace zip_format;  // NOLINT: this file is about nothing else

namespace {

void append16(std::string& record, std::uint16_t number) {
  append_little_endian(record, number);
}
void append32(std::string& record, std::uint32_t number) {
  append_little_endian(record, number);
}
void append64(std::string& record, std::uint64_t number) {
  append_little_endian(record, number);
}

/// The part that a member's header and its directory entry have in common.
void append_description(std::string& record, std::uint32_t crc, std::size_t name_size,
                        std::uint16_t extra_size) {
  append16(record, kZip64Version);
  append16(record, 0);  // no flags
  append16(record, kStored);
  append16(record, 0);  // midnight
  append16(record, kFirstDosDate);
  append32(record, crc);
  append32(record, kIn64);
  append32(record, kIn64);
  append16(record, static_cast<std::uint16_t>(name_size));
  append16(record, extra_size);
}

}  // namespace

void ZipWriter::add(std::string_view name, const std::function<void(const Emit&)>& produce) {
  std::uint64_t size = 0;
  uLong crc = 0;
  produce([&](std::string_view bytes) {
    if (bytes.empty()) return;  // zlib takes no data at a null pointer for a fresh start
    size += bytes.size();
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  });

  const std::uint64_t header_at = written_;
  std::string header(kHeaderSignature);
  append_description(header, static_cast<std::uint32_t>(crc), name.size(), 20);
  header += name;
  append16(header, kZip64Tag);
  append16(header, 16);
  append64(header, size);
  append64(header, size);
  write(header);
  [[maybe_unused]] const std::uint64_t data_at = written_;
  produce([&](std::string_view bytes) { write(bytes); });
  assert(written_ - data_at == size);

  directory_ += kEntrySignature;
  append16(directory_, kZip64Version);
  append_description(directory_, static_cast<std::uint32_t>(crc), name.size(), 28);
  append16(directory_, 0);  // no comment
  append16(directory_, 0);  // on the first disk
  append16(directory_, 0);  // no internal attributes
  append32(directory_, 0);  // no external attributes
  append32(directory_, kIn64);
  directory_ += name;
  append16(directory_, kZip64Tag);
  append16(directory_, 24);
  append64(directory_, size);
  append64(directory_, size);
  append64(directory_, header_at);
  ++count_;
}

void ZipWriter::finish() {
  const std::uint64_t directory_at = written_;
  write(directory_);

  const std::uint64_t end64_at = written_;
  std::string end(kEnd64Signature);
  append64(end, kEnd64Size - 12);  // of what follows this number
  append16(end, kZip64Version);
  append16(end, kZip64Version);
  append32(end, 0);  // this disk
  append32(end, 0);  // the directory's disk
  append64(end, count_);
  append64(end, count_);
  append64(end, directory_.size());
  append64(end, directory_at);

  end += kLocator64Signature;
  append32(end, 0);  // the disk of the record above
  append64(end, end64_at);
  append32(end, 1);  // disks

  end += kEndSignature;
  append16(end, 0);
  append16(end, 0);
  append16(end, kCountIn64);
  append16(end, kCountIn64);
  append32(end, kIn64);
  append32(end, kIn64);
  append16(end, 0);  // no comment
  write(end);
}

void ZipWriter::write(std::string_view bytes) {
  sink_.write(bytes);
  written_ += bytes.size();
}

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "io/byte_source.hpp"
#include "io/little_endian.hpp"
#include "io/zip_format.hpp"
#include "io/zip_reader.hpp"
#include "reorder/error.hpp"

namespace masks {

using namespace zip_format;  // NOLINT: this file is about nothing else

ZipReader::ZipReader(std::string_view bytes, std::string source)
    : bytes_(bytes), source_(std::move(source)) {
  read_directory();
}

void ZipReader::fail(const std::string& what) const {
  throw reorder::Error(reorder::ErrorCode::bad_file, source_ + ": " + what);
}

std::string_view ZipReader::slice(std::uint64_t at, std::uint64_t size, const char* what) const {
  if (at > bytes_.size() || size > bytes_.size() - at) {
    fail("the zip archive is cut off or damaged: its " + std::string(what) +
         " lies outside the file");
  }
  return bytes_.substr(at, size);
}

void ZipReader::read_directory() {
  // The end record is the last thing in the file but for a comment of up to 65535 bytes.
  const std::size_t earliest =
      bytes_.size() - std::min<std::size_t>(bytes_.size(), kEndSize + 0xffff);
  const std::size_t end_at = bytes_.substr(earliest).rfind(kEndSignature);
  if (end_at == std::string_view::npos) {
    fail("is no zip archive, or is cut off (no end record of a zip directory)");
  }
  const std::string_view end = slice(earliest + end_at, kEndSize, "end record");
  std::uint64_t count = little_endian<std::uint16_t>(end, 10);
  std::uint64_t at = little_endian<std::uint32_t>(end, 16);

  // Where 16 or 32 bits do not suffice, a zip64 end record stands before.
  const std::size_t locator_end = earliest + end_at;
  if (locator_end >= kLocator64Size) {
    const std::string_view locator = bytes_.substr(locator_end - kLocator64Size, kLocator64Size);
    if (locator.starts_with(kLocator64Signature)) {
      const std::string_view end64 =
          slice(little_endian<std::uint64_t>(locator, 8), kEnd64Size, "zip64 end record");
      if (!end64.starts_with(kEnd64Signature))
        fail("the zip archive's zip64 end record is damaged");
      count = little_endian<std::uint64_t>(end64, 32);
      at = little_endian<std::uint64_t>(end64, 48);
    }
  }
  if (count > bytes_.size() / kEntrySize) {
    fail("the zip archive claims " + std::to_string(count) + " members, more than fit into it");
  }
  for (; count > 0; --count) members_.push_back(read_entry(at));
}

ZipReader::Member ZipReader::read_entry(std::uint64_t& at) const {
  const std::string_view entry = slice(at, kEntrySize, "directory");
  if (!entry.starts_with(kEntrySignature)) fail("the zip archive's directory is damaged");
  const std::uint16_t name_size = little_endian<std::uint16_t>(entry, 28);
  const std::uint16_t extra_size = little_endian<std::uint16_t>(entry, 30);
  const std::uint16_t comment_size = little_endian<std::uint16_t>(entry, 32);
  Member member;
  member.flags = little_endian<std::uint16_t>(entry, 8);
  member.method = little_endian<std::uint16_t>(entry, 10);
  member.crc = little_endian<std::uint32_t>(entry, 16);
  member.packed_size = little_endian<std::uint32_t>(entry, 20);
  member.size = little_endian<std::uint32_t>(entry, 24);
  member.header_at = little_endian<std::uint32_t>(entry, 42);
  member.name = slice(at + kEntrySize, name_size, "directory");
  std::string_view extra = slice(at + kEntrySize + name_size, extra_size, "directory");
  at += kEntrySize + name_size + extra_size + comment_size;

  // Extra fields: tag, size, data. Tag 1 holds, in this order, the numbers that are 0xffffffff
  // above.
  while (extra.size() >= 4) {
    const std::uint16_t tag = little_endian<std::uint16_t>(extra, 0);
    const std::size_t size = little_endian<std::uint16_t>(extra, 2);
    std::string_view field = extra.substr(4, size);
    extra.remove_prefix(std::min(extra.size(), 4 + size));
    if (tag != kZip64Tag) continue;
    for (std::uint64_t* number : {&member.size, &member.packed_size, &member.header_at}) {
      if (*number != kIn64 || field.size() < 8) continue;
      *number = little_endian<std::uint64_t>(field, 0);
      field.remove_prefix(8);
    }
  }
  return member;
}

const ZipReader::Member* ZipReader::find(std::string_view name) const {
  const auto found = std::find_if(members_.begin(), members_.end(),
                                  [&](const Member& member) { return member.name == name; });
  return found == members_.end() ? nullptr : &*found;
}

bool ZipReader::contains(std::string_view member) const {
  return find(member) != nullptr;
}

std::string_view ZipReader::packed(const Member& member) const {
  // The local header repeats the directory's entry; only the lengths of its own tail are needed.
  const std::string_view header = slice(member.header_at, kHeaderSize, "member header");
  if (!header.starts_with(kHeaderSignature)) fail("the zip archive's member header is damaged");
  const std::uint64_t tail = std::uint64_t{little_endian<std::uint16_t>(header, 26)} +
                             little_endian<std::uint16_t>(header, 28);
  return slice(member.header_at + kHeaderSize + tail, member.packed_size, "member");
}

std::string ZipReader::inflate(const Member& member, std::string_view packed) const {
  const std::string what = "member '" + std::string(member.name) + "'";
  if (member.size / kMaxDeflateRatio > packed.size() + 1) {
    fail(what + " claims " + std::to_string(member.size) + " bytes, more than " +
         std::to_string(packed.size()) + " deflated bytes can hold");
  }
  std::string result(member.size, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) fail("zlib could not be started");
  // zlib counts in 32 bits: it is fed and emptied in pieces.
  constexpr std::size_t kPiece = std::size_t{1} << 30;
  std::size_t read = 0;
  std::size_t written = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    const std::size_t in = std::min(packed.size() - read, kPiece);
    const std::size_t out = std::min(result.size() - written, kPiece);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + read));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(result.data() + written);
    stream.avail_out = static_cast<uInt>(out);
    status = ::inflate(&stream, Z_NO_FLUSH);
    read += in - stream.avail_in;
    written += out - stream.avail_out;
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END || written != result.size()) {
    fail(what + " is damaged: its deflated data do not give the " + std::to_string(member.size) +
         " bytes that the directory claims");
  }
  return result;
}

std::string ZipReader::extract(std::string_view name) const {
  const Member* member = find(name);
  if (member == nullptr) fail("holds no member '" + std::string(name) + "'");
  const std::string what = "member '" + std::string(name) + "'";
  if ((member->flags & kEncryptedFlag) != 0) fail(what + " is encrypted");
  const std::string_view data = packed(*member);
  std::string result;
  if (member->method == kStored) {
    if (member->size != member->packed_size) fail(what + " is stored with two different sizes");
    result = data;
  } else if (member->method == kDeflated) {
    result = inflate(*member, data);
  } else {
    fail(what + " is compressed by method " + std::to_string(member->method) +
         "; stored and deflated can be read");
  }
  const auto crc = static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(result.data()), result.size()));
  if (crc != member->crc) fail(what + " is damaged: its checksum is wrong");
  return result;
}

}  // namespace masks

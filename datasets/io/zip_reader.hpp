// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace masks {

// As much of the zip format as NumPy's .npz files use: stored and deflated members, zip64, no
// encryption, one disk. That is a small part of what libzip does, on top of zlib, which the .mtx.gz
// reader needs anyhow; libzip would bring four more compression and cryptography libraries with it.
// Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", version 6.3.

/// An archive in memory, which must outlive it. Throws Error{bad_file}; `source` names the file in
/// messages.
class ZipReader {
 public:
  ZipReader(std::string_view bytes, std::string source);

  [[nodiscard]] bool contains(std::string_view member) const;

  /// A member's bytes, with length and checksum compared. Throws when there is none of this name.
  [[nodiscard]] std::string extract(std::string_view member) const;

 private:
  struct Member {
    std::string_view name;
    std::uint16_t flags = 0;
    std::uint16_t method = 0;
    std::uint32_t crc = 0;
    std::uint64_t packed_size = 0;
    std::uint64_t size = 0;
    std::uint64_t header_at = 0;
  };

  [[noreturn]] void fail(const std::string& what) const;
  [[nodiscard]] std::string_view slice(std::uint64_t at, std::uint64_t size,
                                       const char* what) const;
  void read_directory();
  [[nodiscard]] Member read_entry(std::uint64_t& at) const;
  [[nodiscard]] const Member* find(std::string_view name) const;
  [[nodiscard]] std::string_view packed(const Member& member) const;
  [[nodiscard]] std::string inflate(const Member& member, std::string_view packed) const;

  std::string_view bytes_;
  std::string source_;
  std::vector<Member> members_;
};

}  // namespace masks

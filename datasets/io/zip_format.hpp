// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// The records of a zip archive, from front to back:
//
//   [ header, name, extra, data ]*   [ entry, name, extra, comment ]*   end64   locator64   end
//     a member                         the directory
namespace masks::zip_format {

using namespace std::string_view_literals;

inline constexpr std::string_view kHeaderSignature = "PK\x03\x04"sv;
inline constexpr std::string_view kEntrySignature = "PK\x01\x02"sv;
inline constexpr std::string_view kEnd64Signature = "PK\x06\x06"sv;
inline constexpr std::string_view kLocator64Signature = "PK\x06\x07"sv;
inline constexpr std::string_view kEndSignature = "PK\x05\x06"sv;

// Sizes without the parts of variable length.
inline constexpr std::size_t kHeaderSize = 30;
inline constexpr std::size_t kEntrySize = 46;
inline constexpr std::size_t kEnd64Size = 56;
inline constexpr std::size_t kLocator64Size = 20;
inline constexpr std::size_t kEndSize = 22;

inline constexpr std::uint16_t kStored = 0;
inline constexpr std::uint16_t kDeflated = 8;
inline constexpr std::uint16_t kEncryptedFlag = 1;
inline constexpr std::uint16_t kZip64Tag = 1;
inline constexpr std::uint16_t kZip64Version = 45;      ///< "needs version 4.5 to extract"
inline constexpr std::uint32_t kIn64 = 0xffffffff;      ///< "look in the zip64 field"
inline constexpr std::uint16_t kCountIn64 = 0xffff;     ///< the same for counts
inline constexpr std::uint16_t kFirstDosDate = 0x0021;  ///< 1980-01-01: archives of the same
                                                        ///< pattern are the same bytes
}  // namespace masks::zip_format

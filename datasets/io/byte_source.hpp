// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace masks {

/// Bytes from front to back, from a file or from memory.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  /// Fills `buffer` from its front; fewer bytes than it holds only at the end. Throws
  /// Error{bad_file}.
  virtual std::size_t read(std::span<char> buffer) = 0;

  /// An upper limit of all bytes that will come, as far as it is known without reading them: what a
  /// header claims can be held against it before memory is set aside.
  [[nodiscard]] virtual std::uint64_t max_size() const = 0;

  /// What messages call the source.
  [[nodiscard]] virtual const std::string& name() const = 0;
};

[[nodiscard]] std::unique_ptr<ByteSource> open_memory(std::string_view bytes, std::string name);

/// A plain or a gzip file, which its first bytes tell apart.
[[nodiscard]] std::unique_ptr<ByteSource> open_file(const std::filesystem::path& path);

/// Deflate makes data at most 1032 times smaller (zlib's documentation, "Maximum compression").
inline constexpr std::uint64_t kMaxDeflateRatio = 1032;

}  // namespace masks

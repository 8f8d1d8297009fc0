// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "io/byte_sink.hpp"

namespace masks {

/// Writes a zip archive of stored members, of any size by zip64, dated 1980-01-01: equal members
/// give equal bytes.
class ZipWriter {
 public:
  using Emit = std::function<void(std::string_view)>;

  explicit ZipWriter(ByteSink& sink) : sink_(sink) {}

  /// Adds a member of the bytes that `produce` emits. It is called twice, for the checksum that
  /// stands before the data and for the data.
  void add(std::string_view name, const std::function<void(const Emit&)>& produce);

  /// Writes the directory. Nothing can be added after it.
  void finish();

 private:
  void write(std::string_view bytes);

  ByteSink& sink_;
  std::uint64_t written_ = 0;
  std::uint64_t count_ = 0;
  std::string directory_;
};

}  // namespace masks

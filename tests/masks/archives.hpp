// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/little_endian.hpp"
#include "io/npy_array.hpp"
#include "io/zip_writer.hpp"

namespace masks {

/// A sink that keeps what it is given.
class StringSink final : public ByteSink {
 public:
  void write(std::string_view piece) override { bytes += piece; }
  std::string bytes;
};

inline std::string zip(const std::vector<std::pair<std::string, std::string>>& members) {
  StringSink sink;
  ZipWriter archive(sink);
  for (const auto& member : members) {
    archive.add(member.first, [&](const ZipWriter::Emit& emit) { emit(member.second); });
  }
  archive.finish();
  return sink.bytes;
}

/// The .npy file of a list of signed numbers.
template <class Stored>
std::string npy_list(const std::vector<std::int64_t>& numbers) {
  std::string bytes =
      npy_header(sizeof(Stored) == 4 ? "<i4" : "<i8", {static_cast<std::int64_t>(numbers.size())});
  for (const std::int64_t number : numbers) {
    append_little_endian(bytes, static_cast<std::make_unsigned_t<Stored>>(number));
  }
  return bytes;
}

/// The members of a matrix as scipy.sparse.save_npz names them; a test replaces one to spoil it.
struct ScipyMatrix {
  std::string format = npy_header("|S3", {}) + "csr";
  std::string shape = npy_list<std::int64_t>({2, 3});
  std::string indptr = npy_list<std::int32_t>({0, 2, 3});
  std::string indices = npy_list<std::int32_t>({0, 2, 1});

  [[nodiscard]] std::string npz() const {
    return zip({{"indices.npy", indices},
                {"indptr.npy", indptr},
                {"format.npy", format},
                {"shape.npy", shape}});
  }
};

}  // namespace masks

// SPDX-License-Identifier: Apache-2.0
//
// The members of a sparse matrix, each after its length in two bytes, in an archive whose checksums
// are right.
#include <algorithm>

#include "archives.hpp"
#include "fuzz.hpp"
#include "io/readers.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace masks;
  std::string_view rest = as_text(data, size);
  ScipyMatrix matrix;
  for (std::string* member : {&matrix.format, &matrix.shape, &matrix.indptr, &matrix.indices}) {
    if (rest.size() < 2) return 0;
    const std::size_t length =
        std::min<std::size_t>(little_endian<std::uint16_t>(rest, 0), rest.size() - 2);
    *member = rest.substr(2, length);
    rest.remove_prefix(2 + length);
  }
  const std::string archive = matrix.npz();
  expect_result_or_error([&] { reorder::validate(read_scipy_npz(archive, "input")); });
  return 0;
}

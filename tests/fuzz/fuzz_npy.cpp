// SPDX-License-Identifier: Apache-2.0
#include "archives.hpp"
#include "fuzz.hpp"
#include "io/readers.hpp"
#include "io/writers.hpp"
#include "patterns.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace masks;
  expect_result_or_error([&] {
    const reorder::Csr pattern = read_dense_npy(as_text(data, size), "input");
    reorder::validate(pattern);
    StringSink written;
    write_dense_npy(written, pattern);
    require(same(read_dense_npy(written.bytes, "written"), pattern));
  });
  return 0;
}

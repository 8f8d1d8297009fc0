// SPDX-License-Identifier: Apache-2.0
//
// Archives as they come. Checksums stop nearly every change inside a member: fuzz_npz_members
// goes past them.
#include "archives.hpp"
#include "fuzz.hpp"
#include "io/readers.hpp"
#include "io/writers.hpp"
#include "patterns.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace masks;
  expect_result_or_error([&] {
    const reorder::Csr pattern = read_scipy_npz(as_text(data, size), "input");
    reorder::validate(pattern);
    StringSink written;
    write_scipy_npz(written, pattern);
    require(same(read_scipy_npz(written.bytes, "written"), pattern));
  });
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "fuzz.hpp"
#include "masks/mask.hpp"
#include "reorder/spec.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace masks;
  expect_result_or_error([&] {
    const reorder::Chain chain = reorder::parse_chain(as_text(data, size));
    const std::string text = reorder::to_string(chain);
    require(reorder::to_string(reorder::parse_chain(text)) == text);
    // No mask is made, which could take long; its parameters are bound to those of a generator.
    for (const reorder::Call& call : chain) {
      for (const GeneratorInfo& info : generators()) {
        if (info.name == call.name) (void)reorder::bind(call, info.params);
      }
    }
  });
  return 0;
}

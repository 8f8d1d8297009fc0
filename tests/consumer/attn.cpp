// SPDX-License-Identifier: Apache-2.0
//
// One query, two keys, of which the mask allows the second: attention returns its value.
#include <array>
#include <cstdint>
#include <cstdio>

#include "attn/attention.hpp"

int main() {
  std::array<float, 2> q{1, 2};
  std::array<float, 4> k{5, 6, 7, 8};
  std::array<float, 4> v{1, 2, 3, 4};
  std::array<float, 2> o{};
  const std::array<std::int64_t, 2> offsets{0, 1};
  const std::array<std::int32_t, 1> cols{1};
  const auto mask = attn::BlockMask::from_csr({1, 2, offsets, cols}, {.block_m = 8, .block_n = 8});
  attn::ForwardArgs args;
  args.q = attn::contiguous(q.data(), attn::DType::f32, {1, 1, 1, 2});
  args.k = attn::contiguous(k.data(), attn::DType::f32, {1, 1, 2, 2});
  args.v = attn::contiguous(v.data(), attn::DType::f32, {1, 1, 2, 2});
  args.o = attn::contiguous(o.data(), attn::DType::f32, {1, 1, 1, 2});
  attn::forward(args, mask, "cpu");
  std::printf("%g %g\n", o[0], o[1]);
  return o[0] == 3 && o[1] == 4 ? 0 : 1;
}

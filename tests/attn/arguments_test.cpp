// SPDX-License-Identifier: Apache-2.0
//
// What does not fit is refused with a sentence that names it; and the list of backends.
#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <string>

#include "attn/device_block_mask.hpp"
#include "attn/errors.hpp"
#include "attn/oracle.hpp"

namespace attn::test {
namespace {

BlockMask ones(std::int32_t n_q, std::int32_t n_k) {
  return BoolMask(n_q, n_k, [](int, int) { return true; }).tiled({8, 8});
}

/// A valid problem, spoilt by `change`, must be refused by validation and by every backend.
template <class Change>
void refused(const std::string& part, Change change, const BlockMask& mask = ones(10, 12)) {
  const Inputs in({.batch = 2, .heads = 4, .kv_heads = 2, .head_dim = 8}, 10, 12);
  ForwardArgs args = in.args();
  change(args);
  const auto code = ErrorCode::invalid_argument;
  expect_error(code, part, [&] { validate(args, mask); });
  for (const std::string& name : host_backends()) {
    expect_error(code, part, [&] { backend(name).prepare(mask)->forward(args); });
    expect_error(code, part, [&] { forward(args, mask, name); });
  }
}

TEST(Arguments, AreRefusedWithAReason) {
  using Args = ForwardArgs;
  refused("head_dim is 0, but at least 1 is needed", [](Args& args) {
    for (TensorView* view : {&args.q, &args.k, &args.v, &args.o}) view->shape[3] = 0;
  });
  refused("batch is 0", [](Args& args) { args.q.shape[0] = 0; });
  refused("query head count is 0", [](Args& args) { args.q.shape[1] = 0; });
  refused("4 query heads cannot share 3 key heads", [](Args& args) { args.k.shape[1] = 3; });
  refused("4 query heads cannot share 0 key heads", [](Args& args) { args.k.shape[1] = 0; });
  refused("K has shape [2, 2, 12, 9], but [2, 2, 12, 8] is needed",
          [](Args& args) { args.k.shape[3] = 9; });
  refused("V has shape [2, 1, 12, 8], but [2, 2, 12, 8] is needed",
          [](Args& args) { args.v.shape[1] = 1; });
  refused("O has shape [2, 4, 9, 8], but [2, 4, 10, 8] is needed",
          [](Args& args) { args.o.shape[2] = 9; });
  refused("LSE has shape [2, 4, 10, 8], but [2, 4, 10, 1] is needed",
          [](Args& args) { args.lse.shape[3] = 8; });
  refused("V is f16, but f32 is needed", [](Args& args) { args.v.dtype = DType::f16; });
  refused("O is bf16, but f32 is needed", [](Args& args) { args.o.dtype = DType::bf16; });
  refused("LSE is f16, but f32 is needed", [](Args& args) { args.lse.dtype = DType::f16; });
  refused("K has a null data pointer", [](Args& args) { args.k.data = nullptr; });
  refused("O is written, but its stride on axis 2 is 0", [](Args& args) { args.o.strides[2] = 0; });
  refused("the scale is nan, but it must be finite",
          [](Args& args) { args.scale = std::numeric_limits<float>::quiet_NaN(); });
  refused("the scale is inf, but it must be finite",
          [](Args& args) { args.scale = std::numeric_limits<float>::infinity(); });
}

TEST(Arguments, MustFitTheMask) {
  const auto as_they_are = [](ForwardArgs&) {};
  refused("Q has 10 rows, but the mask has 11 queries", as_they_are, ones(11, 12));
  refused("K has shape [2, 2, 12, 8], but [2, 2, 13, 8] is needed", as_they_are, ones(10, 13));
  const std::vector<BlockMask> three(3, ones(10, 12));
  refused("the mask is for a batch of 3, but Q's batch is 2", as_they_are,
          BlockMask::stack(three, 3, 1));
  refused("the mask is for 3 heads, but Q has 4", as_they_are, BlockMask::stack(three, 1, 3));
}

TEST(Arguments, NoQueriesIsNoMistake) {
  // With two heads, a contiguous view of nothing has a stride of 0.
  const Inputs in({.heads = 2, .head_dim = 8}, 0, 12);
  for (const std::string& name : host_backends()) forward(in.args(), ones(0, 12), name);
}

TEST(Arguments, NoKeysGiveEmptyRows) {
  for (const std::string& name : host_backends()) {
    const Inputs in({.head_dim = 8}, 10, 0);
    forward(in.args(), ones(10, 0), name);
    EXPECT_EQ(in.o.get(5), 0.0f) << name;
    EXPECT_EQ(in.lse.get(9), -std::numeric_limits<float>::infinity()) << name;
  }
}

TEST(Rows, GatherAndScatterAreInverse) {
  const std::vector<std::int32_t> order{2, 0, 3, 1};
  for (const DType dtype : {DType::f32, DType::f16}) {
    Tensor source({2, 3, 4, 5}, dtype);
    source.randomize(1);
    const Tensor gathered({2, 3, 4, 5}, dtype);
    const Tensor back({2, 3, 4, 5}, dtype);
    gather_rows(source.view(), order, gathered.view(), 2);
    for (std::int64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(gathered.get(gathered.offset(1, 2, i, 4)),
                source.get(source.offset(1, 2, order[static_cast<std::size_t>(i)], 4)));
    }
    scatter_rows(gathered.view(), order, back.view(), 2);
    for (std::int64_t n = 0; n < source.view().elements(); ++n) {
      ASSERT_EQ(back.get(n), source.get(n)) << n;
    }
  }
}

TEST(Rows, StridesAreFollowed) {
  // Every second column of a wider array.
  const std::vector<float> wide{1, 0, 2, 0, 3, 0, 4, 0};
  std::vector<float> out(4);
  TensorView source = contiguous(const_cast<float*>(wide.data()), DType::f32, {1, 1, 2, 2});
  source.strides = {8, 8, 4, 2};
  const std::vector<std::int32_t> order{1, 0};
  gather_rows(source, order, contiguous(out.data(), DType::f32, {1, 1, 2, 2}));
  EXPECT_EQ(out, (std::vector<float>{3, 4, 1, 2}));
}

TEST(Rows, AreRefusedWithAReason) {
  const Tensor a({1, 1, 4, 2});
  const Tensor b({1, 1, 4, 3});
  const Tensor c({1, 1, 4, 2}, DType::f16);
  const std::vector<std::int32_t> order{0, 1, 2, 3};
  const auto code = ErrorCode::invalid_argument;
  expect_error(code, "destination has shape [1, 1, 4, 3], but [1, 1, 4, 2] is needed",
               [&] { gather_rows(a.view(), order, b.view()); });
  expect_error(code, "source is f32, but destination is f16",
               [&] { scatter_rows(a.view(), order, c.view()); });
  expect_error(code, "the row order is not a permutation of 4 rows: it has 2 entries", [&] {
    gather_rows(a.view(), std::vector<std::int32_t>{0, 1}, a.view());
  });
}

TEST(Backends, AreListedWhetherTheyCanRunOrNot) {
  std::vector<std::string> names;
  for (const Backend* backend : backends()) names.push_back(backend->info().name);
  EXPECT_EQ(names, (std::vector<std::string>{"reference", "cpu", "hopper"}));
  expect_error(ErrorCode::unknown_name,
               "no backend is named 'gpu'; there are reference, cpu, hopper",
               [] { (void)backend("gpu"); });
}

TEST(Backends, WhatCannotRunSaysWhy) {
  for (const Backend* backend : backends()) {
    const std::string why = backend->info().unavailable;
    if (why.empty()) continue;
    const Inputs in({.head_dim = 64}, 10, 12);
    const auto sentence = backend->supports(in.args(), ones(10, 12));
    ASSERT_TRUE(sentence.has_value());
    EXPECT_NE(sentence->find(why), std::string::npos) << *sentence;
    expect_error(ErrorCode::no_device, why, [&] { (void)backend->prepare(ones(10, 12)); });
  }
}

TEST(Backends, AMaskIsBuiltOnADeviceOnlyWhereThereIsOne) {
  const std::string& why = backend("hopper").info().unavailable;
  if (why.empty()) {
    expect_error(ErrorCode::unsupported, "backend cpu takes masks from the host alone",
                 [] { (void)backend("cpu").prepare(DeviceBlockMask()); });
  } else {
    expect_error(ErrorCode::no_device, "a mask cannot be built on a device: " + why,
                 [] { const DeviceBlockMask mask; });
  }
}

TEST(Backends, HostMemoryIsAlignedAndCopied) {
  for (const std::string& name : host_backends()) {
    const Backend& host = backend(name);
    const Buffer buffer = host.allocate(100);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.get()) % 64, 0u);
    std::vector<char> in(100);
    std::iota(in.begin(), in.end(), char{0});
    std::vector<char> out(100);
    host.copy_in(buffer.get(), in.data(), 100);
    host.copy_out(out.data(), buffer.get(), 100);
    EXPECT_EQ(in, out);
  }
}

TEST(Backends, TimeRunsTheWorkOncePerSample) {
  int runs = 0;
  const std::vector<double> seconds = backend("cpu").time([&] { ++runs; }, 5);
  EXPECT_EQ(runs, 5);
  EXPECT_EQ(seconds.size(), 5u);
}

}  // namespace
}  // namespace attn::test

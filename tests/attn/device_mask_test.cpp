// SPDX-License-Identifier: Apache-2.0
//
// Masks built on the device against the host's, list by list and word by word. Needs an H100 or
// H200.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "attn/device_block_mask.hpp"
#include "attn/errors.hpp"
#include "attn/hopper_masks.hpp"
#include "cuda/hopper/prepared_mask.hpp"

namespace attn::test {
namespace {

using namespace hopper;

const Backend& device() {
  return backend("hopper");
}

/// Bytes on the device, with `skip` bytes in front so that they can be out of line.
class OnDevice {
 public:
  OnDevice(const void* host, std::size_t bytes, std::size_t skip = 0)
      : skip_(skip), memory_(device().allocate(bytes + skip + 16)) {
    if (bytes != 0) device().copy_in(data(), host, bytes);
  }
  [[nodiscard]] std::uint8_t* data() const {
    return static_cast<std::uint8_t*>(memory_.get()) + skip_;
  }

 private:
  std::size_t skip_;
  Buffer memory_;
};

/// A dense matrix on the device, `pad` bytes between its rows.
struct DenseOnDevice {
  std::vector<std::uint8_t> host;
  OnDevice memory;
  DensePattern pattern;

  DenseOnDevice(const BoolMask& mask, DensePattern::Format format, std::size_t pad,
                std::size_t skip)
      : host(rows(mask, format, pad)), memory(host.data(), host.size(), skip) {
    pattern = {mask.n_q, mask.n_k, memory.data(),
               static_cast<std::int64_t>(stride(mask, format, pad)), format};
  }

 private:
  static std::size_t stride(const BoolMask& mask, DensePattern::Format format, std::size_t pad) {
    const auto n_k = static_cast<std::size_t>(mask.n_k);
    return (format == DensePattern::Format::bytes ? n_k : (n_k + 7) / 8) + pad;
  }
  /// What lies between the rows must not matter; what is allowed is any number but 0.
  static std::vector<std::uint8_t> rows(const BoolMask& mask, DensePattern::Format format,
                                        std::size_t pad) {
    const std::size_t row = stride(mask, format, pad);
    std::vector<std::uint8_t> bytes(row * static_cast<std::size_t>(mask.n_q), 0xFF);
    for (std::int32_t i = 0; i < mask.n_q; ++i) {
      for (std::int32_t j = 0; j < mask.n_k; ++j) {
        const std::size_t first = static_cast<std::size_t>(i) * row;
        if (format == DensePattern::Format::bytes) {
          bytes[first + static_cast<std::size_t>(j)] =
              mask(i, j) ? static_cast<std::uint8_t>(1U << (i + j) % 8) : 0;
        } else if (!mask(i, j)) {
          std::uint8_t& byte = bytes[first + static_cast<std::size_t>(j) / 8];
          byte = static_cast<std::uint8_t>(byte & ~(1U << j % 8));
        }
      }
    }
    return bytes;
  }
};

struct CsrOnDevice {
  Csr host;
  OnDevice offsets, cols;
  explicit CsrOnDevice(const BoolMask& mask)
      : host(mask),
        offsets(host.offsets.data(), host.offsets.size() * 8),
        cols(host.cols.data(), host.cols.size() * 4) {}
  [[nodiscard]] CsrPattern pattern() const {
    return {host.n_q,
            host.n_k,
            {reinterpret_cast<const std::int64_t*>(offsets.data()), host.offsets.size()},
            {reinterpret_cast<const std::int32_t*>(cols.data()), host.cols.size()}};
  }
};

template <class T>
std::vector<T> fetch(const cuda::DeviceArray<T>& array, std::size_t count) {
  EXPECT_LE(count, array.size());
  std::vector<T> host(std::min(count, array.size()));
  if (!host.empty()) device().copy_out(host.data(), array.data(), host.size() * sizeof(T));
  return host;
}

/// Fails at the first element whose bytes differ.
template <class T>
void expect_same(const char* what, const std::vector<T>& expected, const std::vector<T>& actual) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::memcmp(&expected[i], &actual[i], sizeof(T)), 0)
        << what << " differ at " << i << " of " << expected.size();
  }
}

/// Every list that a kernel reads, against the host's for the same mask.
void expect_host_lists(const BlockMask& mask, const DeviceBlockMask& built) {
  const Strips strips = cut_strips(mask, 1);
  const auto prepared = built.prepared();
  EXPECT_EQ(prepared->shape, MaskShape(mask));
  EXPECT_EQ(built.visited_strips(), static_cast<std::int64_t>(strips.by_column.size()));
  EXPECT_EQ(built.stored_strips(), strips.stored());
  expect_same("column offsets", strips.column_offsets,
              fetch(prepared->column_offsets, strips.column_offsets.size()));
  expect_same("strips", strips.by_column, fetch(prepared->by_column, strips.by_column.size()));
  expect_same("bits", strips.bits, fetch(prepared->bits, strips.bits.size()));
  ASSERT_EQ(prepared->tiles.size(), tile_heights().size());
  for (const PreparedTiles& tiles : prepared->tiles) {
    SCOPED_TRACE(std::to_string(tiles.groups) + " query blocks a tile");
    const Layout layout = lay_out(strips, tiles.groups);
    std::vector<std::int32_t> lengths;
    for (const WorkItem& item : layout.items) lengths.push_back(item.n_tiles);
    EXPECT_EQ(tiles.lengths, lengths);
    EXPECT_EQ(tiles.row_tiles, layout.row_tiles);
    EXPECT_EQ(tiles.total_tiles, static_cast<std::int64_t>(layout.tiles.size()));
    ASSERT_EQ(tiles.n_empty_blocks, static_cast<std::int32_t>(layout.empty_blocks.size()));
    expect_same("items", layout.items, fetch(tiles.items, layout.items.size()));
    expect_same("rows", layout.rows, fetch(tiles.rows, layout.rows.size()));
    expect_same("tiles", layout.tiles, fetch(tiles.tiles, layout.tiles.size()));
    expect_same("empty blocks", layout.empty_blocks,
                fetch(tiles.empty_blocks, layout.empty_blocks.size()));
  }
}

std::string text(const BoolMask& mask, const std::string& source) {
  return std::to_string(mask.n_q) + "x" + std::to_string(mask.n_k) + " from " + source;
}

void check_dense(DeviceBlockMask& built, const BoolMask& mask) {
  for (const auto format : {DensePattern::Format::bytes, DensePattern::Format::bits}) {
    for (const auto& [pad, skip] : {std::pair<std::size_t, std::size_t>{0, 0}, {16, 0}, {3, 5}}) {
      SCOPED_TRACE(text(mask, format == DensePattern::Format::bytes ? "bytes" : "bits") + ", " +
                   std::to_string(pad) + " bytes between rows, " + std::to_string(skip) +
                   " in front");
      const DenseOnDevice dense(mask, format, pad, skip);
      built.build(dense.pattern);
      expect_host_lists(mask.tiled({64, 64}), built);
    }
  }
}

void check_csr(DeviceBlockMask& built, const BoolMask& mask) {
  SCOPED_TRACE(text(mask, "CSR"));
  const CsrOnDevice csr(mask);
  built.build(csr.pattern());
  expect_host_lists(mask.tiled({64, 64}), built);
}

void check_coo(DeviceBlockMask& built, const BoolMask& mask, std::uint64_t seed) {
  SCOPED_TRACE(text(mask, "coordinates") + ", seed " + std::to_string(seed));
  std::vector<std::int32_t> rows, cols;
  for (std::int32_t i = 0; i < mask.n_q; ++i) {
    for (std::int32_t j = 0; j < mask.n_k; ++j) {
      if (!mask(i, j)) continue;
      rows.insert(rows.end(), (i + j) % 7 == 0 ? 2 : 1, i);  // some pairs are told twice
      cols.insert(cols.end(), (i + j) % 7 == 0 ? 2 : 1, j);
    }
  }
  std::mt19937_64 random(seed);
  for (std::size_t i = rows.size(); i > 1; --i) {
    const std::size_t other = random() % i;
    std::swap(rows[i - 1], rows[other]);
    std::swap(cols[i - 1], cols[other]);
  }
  const OnDevice device_rows(rows.data(), rows.size() * 4);
  const OnDevice device_cols(cols.data(), cols.size() * 4);
  built.build(CooPattern{mask.n_q,
                         mask.n_k,
                         {reinterpret_cast<const std::int32_t*>(device_rows.data()), rows.size()},
                         {reinterpret_cast<const std::int32_t*>(device_cols.data()), cols.size()}});
  expect_host_lists(mask.tiled({64, 64}), built);
}

std::vector<BoolMask> masks() {
  std::vector<BoolMask> all;
  std::uint64_t seed = 1;
  for (const auto& [n_q, n_k] :
       {std::pair{64, 128}, {1, 1}, {63, 65}, {700, 460}, {513, 1100}, {1300, 257}}) {
    all.push_back(block_mask(n_q, n_k, seed++));
  }
  all.push_back({300, 300, [](auto, auto) { return false; }});
  all.push_back({300, 300, [](auto, auto) { return true; }});
  all.push_back({128, 128, [](auto i, auto j) { return i != 127 || j != 127; }});
  all.push_back({600, 600, [](auto i, auto j) { return j <= i; }});
  all.push_back({600, 900, [](auto i, auto j) { return i < 2 || j < 2 || (i * 7 + j) % 97 == 0; }});
  return all;
}

TEST(DeviceMask, EqualsTheHostsFromEverySource) {
  DeviceBlockMask built;  // the same memory for all of them, growing
  std::uint64_t seed = 50;
  for (const BoolMask& mask : masks()) {
    check_dense(built, mask);
    check_csr(built, mask);
    check_coo(built, mask, seed++);
  }
}

TEST(DeviceMask, RandomShapesAndDensities) {
  std::mt19937_64 random(3);
  for (std::uint64_t seed = 100; seed < 140; ++seed) {
    const auto n_q = static_cast<std::int32_t>(1 + random() % 900);
    const auto n_k = static_cast<std::int32_t>(1 + random() % 900);
    SCOPED_TRACE("seed " + std::to_string(seed));
    DeviceBlockMask built;
    const BoolMask mask = block_mask(n_q, n_k, seed);
    check_dense(built, mask);
    check_csr(built, mask);
  }
}

TEST(DeviceMask, WithoutQueriesOrKeys) {
  DeviceBlockMask built;
  for (const auto& [n_q, n_k] : {std::pair{0, 0}, {0, 70}, {70, 0}}) {
    const BoolMask mask(n_q, n_k, [](auto, auto) { return true; });
    check_csr(built, mask);
    built.build(DensePattern{n_q, n_k, nullptr, n_k});
    expect_host_lists(mask.tiled({64, 64}), built);
  }
}

TEST(DeviceMask, StacksCountOn) {
  std::vector<BoolMask> rules;
  std::vector<BlockMask> host;
  std::vector<CsrOnDevice> csr;
  std::vector<DenseOnDevice> dense;
  std::vector<CsrPattern> csr_patterns;
  std::vector<DensePattern> dense_patterns;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    rules.push_back(block_mask(333, 500, 60 + seed));
    host.push_back(rules.back().tiled({64, 64}));
    csr.emplace_back(rules.back());
    csr_patterns.push_back(csr.back().pattern());
    dense.emplace_back(rules.back(), DensePattern::Format::bytes, 0, 0);
    dense_patterns.push_back(dense.back().pattern);
  }
  DeviceBlockMask built;
  built.build(csr_patterns, 2, 3);
  expect_host_lists(BlockMask::stack(host, 2, 3), built);
  built.build(dense_patterns, 3, 2);
  expect_host_lists(BlockMask::stack(host, 3, 2), built);
}

TEST(DeviceMask, ManyQueriesManyKeys) {
  // More key tiles than are counted at once, and more row blocks than one scan.
  const std::int32_t n_k = 8192 * 128 + 1000;
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> cols;
  std::mt19937_64 random(9);
  const std::int32_t n_q = 300;
  for (std::int32_t i = 0; i < n_q; ++i) {
    std::vector<std::int32_t> row;
    for (int c = 0; c < 40; ++c) {
      row.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(n_k)));
    }
    row.push_back(n_k - 1);
    std::sort(row.begin(), row.end());
    row.erase(std::unique(row.begin(), row.end()), row.end());
    cols.insert(cols.end(), row.begin(), row.end());
    offsets.push_back(static_cast<std::int64_t>(cols.size()));
  }
  const OnDevice device_offsets(offsets.data(), offsets.size() * 8);
  const OnDevice device_cols(cols.data(), cols.size() * 4);
  DeviceBlockMask built;
  built.build(
      CsrPattern{n_q,
                 n_k,
                 {reinterpret_cast<const std::int64_t*>(device_offsets.data()), offsets.size()},
                 {reinterpret_cast<const std::int32_t*>(device_cols.data()), cols.size()}});
  expect_host_lists(BlockMask::from_csr({n_q, n_k, offsets, cols}, {64, 64}), built);

  const std::int32_t tall = 40000;
  std::vector<std::int64_t> tall_offsets(static_cast<std::size_t>(tall) + 1);
  std::vector<std::int32_t> tall_cols;
  for (std::int32_t i = 0; i < tall; ++i) {
    if (i % 3 != 0) tall_cols.push_back(i % 200);
    tall_offsets[static_cast<std::size_t>(i) + 1] = static_cast<std::int64_t>(tall_cols.size());
  }
  const OnDevice o(tall_offsets.data(), tall_offsets.size() * 8);
  const OnDevice c(tall_cols.data(), tall_cols.size() * 4);
  built.build(CsrPattern{tall,
                         200,
                         {reinterpret_cast<const std::int64_t*>(o.data()), tall_offsets.size()},
                         {reinterpret_cast<const std::int32_t*>(c.data()), tall_cols.size()}});
  expect_host_lists(BlockMask::from_csr({tall, 200, tall_offsets, tall_cols}, {64, 64}), built);
}

TEST(DeviceMask, MalformedPatternsAreRefused) {
  DeviceBlockMask built;
  const auto build = [&](std::vector<std::int64_t> offsets, std::vector<std::int32_t> cols) {
    const OnDevice o(offsets.data(), offsets.size() * 8);
    const OnDevice c(cols.data(), cols.size() * 4);
    built.build(CsrPattern{3,
                           100,
                           {reinterpret_cast<const std::int64_t*>(o.data()), offsets.size()},
                           {reinterpret_cast<const std::int32_t*>(c.data()), cols.size()}});
  };
  expect_error(ErrorCode::invalid_mask, "row 1 holds column 100, outside [0, 100)", [&] {
    build({0, 1, 2, 3}, {5, 100, 7});
  });
  expect_error(ErrorCode::invalid_mask, "row 2 holds column 7 after 7", [&] {
    build({0, 1, 1, 3}, {5, 7, 7});
  });
  expect_error(ErrorCode::invalid_mask, "row 0 holds column -3", [&] {
    build({0, 1, 1, 3}, {-3, 7, 8});
  });
  expect_error(ErrorCode::invalid_mask, "row 1 has the offsets 3 and 2", [&] {
    build({0, 3, 2, 3}, {5, 6, 7});
  });
  expect_error(ErrorCode::invalid_mask, "row 0 has the offsets 1 and 1", [&] {
    build({1, 1, 2, 3}, {5, 6, 7});
  });
  expect_error(ErrorCode::invalid_mask, "row 2 has the offsets 2 and 2", [&] {
    build({0, 1, 2, 2}, {5, 6, 7});
  });
  expect_error(ErrorCode::invalid_argument, "a null pointer", [&] {
    built.build(DensePattern{10, 10, nullptr, 10});
  });
  const std::vector<std::int32_t> rows{0, 1, 5};
  const std::vector<std::int32_t> cols{0, 1, 2};
  const OnDevice r(rows.data(), 12);
  const OnDevice c(cols.data(), 12);
  expect_error(ErrorCode::invalid_mask, "pair 2 is (5, 2), outside 4 queries by 4 keys", [&] {
    built.build(CooPattern{4,
                           4,
                           {reinterpret_cast<const std::int32_t*>(r.data()), 3},
                           {reinterpret_cast<const std::int32_t*>(c.data()), 3}});
  });
}

TEST(DeviceMask, APlanFollowsItsMask) {
  const std::int32_t n = 500;
  const std::size_t bytes = 2 * 4 * static_cast<std::size_t>(n) * 64 * 2;
  std::vector<std::uint16_t> values(bytes / 2);
  std::mt19937_64 random(12);
  std::normal_distribution<float> normal;
  for (auto& value : values) value = float_to_bfloat16(normal(random));
  const OnDevice inputs(values.data(), bytes);
  const OnDevice from_host(values.data(), bytes);
  const OnDevice from_device(values.data(), bytes);
  ForwardArgs args;
  args.q = contiguous(inputs.data(), DType::bf16, {2, 4, n, 64});
  args.k = args.v = args.o = args.q;

  DeviceBlockMask built;
  std::unique_ptr<Plan> plan;
  for (std::uint64_t seed = 1; seed < 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const BoolMask mask = block_mask(n, n, seed);
    const CsrOnDevice csr(mask);
    built.build(csr.pattern());
    if (plan == nullptr) plan = device().prepare(built);
    args.o.data = from_device.data();
    plan->forward(args);
    args.o.data = from_host.data();
    device().prepare(mask.tiled())->forward(args);
    std::vector<std::uint16_t> expected(values.size()), actual(values.size());
    device().copy_out(expected.data(), from_host.data(), bytes);
    device().copy_out(actual.data(), from_device.data(), bytes);
    expect_same("O", expected, actual);
  }
  const BoolMask other = block_mask(n, n + 1, 1);
  const CsrOnDevice csr(other);
  expect_error(ErrorCode::invalid_argument, "is used by a plan",
               [&] { built.build(csr.pattern()); });
}

}  // namespace
}  // namespace attn::test

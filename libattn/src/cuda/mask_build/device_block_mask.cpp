// SPDX-License-Identifier: Apache-2.0
#include "attn/device_block_mask.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "attn/backend.hpp"
#include "attn/error.hpp"
#include "cuda/hopper/prepared_mask.hpp"
#include "cuda/mask_build/coo.hpp"
#include "cuda/mask_build/malformed.hpp"
#include "cuda/mask_build/pinned_numbers.hpp"
#include "cuda/mask_build/strip_grid.hpp"
#include "cuda/runtime.hpp"
#include "mask_shape.hpp"
#include "patterns.hpp"

namespace attn {

using cuda::check;
using cuda::DeviceArray;
using hopper::kQuadrant;
using hopper::kStripKeys;
using hopper::kStripWords;

namespace {

std::int64_t ceil_div(std::int64_t n, std::int64_t d) {
  return (n + d - 1) / d;
}

/// Room for `count`, with some to spare when it must grow.
template <class T>
void require(DeviceArray<T>& array, std::int64_t count) {
  if (static_cast<std::int64_t>(array.size()) >= count) return;
  array = DeviceArray<T>();
  array = DeviceArray<T>(static_cast<std::size_t>(count + count / 8));
}

/// What comes back to the host of one build, in one block of numbers. Kernels write it where the
/// host reads it: a copy behind them would take as long as one of them.
///
///     bad row | strips visited, stored | per height: tiles, full, items, empty | lengths per
///     height
struct Summary {
  static constexpr std::size_t kBadRow = 0;
  static constexpr std::size_t kColumns = 1;
  static constexpr std::size_t kRows = 3;
  static constexpr std::size_t kNumbersPerHeight = 4;
};

}  // namespace

class DeviceBlockMask::Builder {
 public:
  Builder() : mask_(std::make_shared<hopper::PreparedMask>()) {
    const std::string& why = backend("hopper").info().unavailable;
    if (!why.empty()) {
      throw Error(ErrorCode::no_device, "a mask cannot be built on a device: " + why);
    }
    for (const int groups : hopper::tile_heights()) mask_->tiles.emplace_back().groups = groups;
    if (mask_->tiles.size() > mask_build::kMaxHeights) {
      throw Error(ErrorCode::unsupported, "this build has kernels of more than " +
                                              std::to_string(mask_build::kMaxHeights) +
                                              " tile heights");
    }
  }

  void build_dense(std::span<const DensePattern> patterns, MaskShape shape, cudaStream_t stream) {
    for (const DensePattern& pattern : patterns) (void)DenseSource(pattern);
    begin(shape, shape.elements() * shape.batch * shape.heads, stream);
    const std::int64_t strips = std::int64_t{grid_.row_blocks} * grid_.key_tiles;
    require(unpacked_, grid_.masks * strips * kStripWords);
    for (std::int32_t m = 0; m < grid_.masks; ++m) {
      const DensePattern& pattern = patterns[static_cast<std::size_t>(m)];
      const mask_build::DenseSource source{static_cast<const std::uint8_t*>(pattern.data),
                                           pattern.row_stride,
                                           pattern.format == DensePattern::Format::bits};
      if (strips == 0) break;
      check(mask_build::fill_dense(grid_, m, source, unpacked_.data() + m * strips * kStripWords,
                                   stream),
            "launching the reading of a dense mask");
    }
    finish(stream, [&](const mask_build::Lists& lists, const mask_build::StoredBits& bits) {
      check(mask_build::write_rows(grid_, lists, unpacked_.data(), bits, stream),
            "launching the lists of a mask");
    });
  }

  void build_csr(std::span<const mask_build::CsrSource> sources, MaskShape shape,
                 cudaStream_t stream) {
    std::int64_t nnz = 0;
    for (const mask_build::CsrSource& source : sources) nnz += source.nnz;
    if (shape.n_k == 0 && nnz != 0) {
      throw Error(ErrorCode::invalid_mask,
                  "CSR mask: " + std::to_string(nnz) + " column indices, but there are no keys");
    }
    begin(shape, nnz, stream);
    for (std::int32_t m = 0; m < grid_.masks && grid_.row_blocks != 0; ++m) {
      check(mask_build::fill_csr(grid_, m, sources[static_cast<std::size_t>(m)], stream),
            "launching the counting of a CSR mask");
    }
    finish(stream, [&](const mask_build::Lists& lists, const mask_build::StoredBits& bits) {
      check(mask_build::write_rows(grid_, lists, nullptr, bits, stream),
            "launching the lists of a mask");
      check(cudaMemsetAsync(bits.words, 0,
                            static_cast<std::size_t>(bits.capacity) * kStripWords * 4, stream),
            "clearing the bits of a mask");
      for (std::int32_t m = 0; m < grid_.masks && grid_.row_blocks != 0; ++m) {
        check(mask_build::pack_csr(grid_, m, sources[static_cast<std::size_t>(m)], ranks_.data(),
                                   bits, stream),
              "launching the bits of a CSR mask");
      }
    });
    if (summary_[Summary::kBadRow] != 0) {
      mask_->holds_a_mask = false;
      mask_build::report_malformed(sources, grid_,
                                   mask_build::kNoBadRow - summary_[Summary::kBadRow]);
    }
  }

  [[nodiscard]] const std::shared_ptr<hopper::PreparedMask>& mask() const noexcept { return mask_; }
  [[nodiscard]] std::int64_t visited() const noexcept { return visited_; }
  [[nodiscard]] std::int64_t stored() const noexcept { return stored_; }

  [[nodiscard]] std::size_t bytes() const noexcept {
    const auto of = [](const auto& array) { return array.size() * sizeof(*array.data()); };
    std::size_t sum = of(zeroed_) + of(counts_) + of(ranks_) + of(unpacked_) + of(mask_->bits) +
                      of(mask_->by_column) + of(mask_->column_offsets);
    for (const hopper::PreparedTiles& tiles : mask_->tiles) {
      sum += of(tiles.items) + of(tiles.rows) + of(tiles.tiles) + of(tiles.empty_blocks);
    }
    return sum;
  }

 private:
  // What a first build makes room for, at most; what needs more is built a second time.
  static constexpr std::int64_t kFirstEntries = 1 << 20;
  static constexpr std::int64_t kFirstStoredStrips = 1 << 15;

  /// Makes room for a mask of this shape with up to `elements` allowed pairs, and clears the grid.
  void begin(MaskShape shape, std::int64_t elements, cudaStream_t stream) {
    if (mask_.use_count() > 1 && mask_->holds_a_mask && mask_->shape != shape) {
      throw Error(ErrorCode::invalid_argument,
                  "the mask of " + std::to_string(mask_->shape.n_q) + " queries and " +
                      std::to_string(mask_->shape.n_k) +
                      " keys is used by a plan: it can be built again in its own shape only");
    }
    const std::int64_t row_blocks = ceil_div(shape.n_q, kQuadrant);
    const std::int64_t key_tiles = ceil_div(shape.n_k, kStripKeys);
    const std::int64_t masks = std::int64_t{shape.batch} * shape.heads;
    constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();
    const std::int64_t strips = row_blocks * key_tiles;
    if (row_blocks > 65535 || strips > kLimit / masks) {
      throw Error(ErrorCode::unsupported,
                  "a mask of " + std::to_string(shape.n_q) + " queries and " +
                      std::to_string(shape.n_k) +
                      " keys is too large to be built on a device: at most 4,194,240 queries and "
                      "2^31 strips of 64x128 are possible");
    }
    mask_->holds_a_mask = false;
    mask_->shape = shape;
    mask_->row_blocks = static_cast<std::int32_t>(row_blocks);
    mask_->key_tiles = static_cast<std::int32_t>(key_tiles);
    grid_.n_q = shape.n_q;
    grid_.n_k = shape.n_k;
    grid_.masks = static_cast<std::int32_t>(masks);
    grid_.row_blocks = mask_->row_blocks;
    grid_.key_tiles = mask_->key_tiles;
    grid_.row_stride = static_cast<std::int32_t>(ceil_div(row_blocks, mask_build::kRankStep) *
                                                 mask_build::kRankStep);

    make_room(elements);
    check(cudaMemsetAsync(zeroed_.data(), 0, static_cast<std::size_t>(zeroed_bytes_), stream),
          "clearing the grid of a mask");
  }

  void make_room(std::int64_t elements) {
    const std::int64_t columns = grid_.column(grid_.masks, 0);
    const std::int64_t strips = columns * grid_.row_blocks;
    const std::int64_t entries = std::min({strips, elements, kFirstEntries});
    std::int64_t row_tiles = 0;
    for (hopper::PreparedTiles& tiles : mask_->tiles) {
      tiles.row_tiles = static_cast<std::int32_t>(ceil_div(grid_.row_blocks, tiles.groups));
      const std::int64_t count = std::int64_t{grid_.masks} * tiles.row_tiles;
      row_tiles += count;
      require(tiles.items, count);
      require(tiles.rows, count);
      require(tiles.empty_blocks, std::int64_t{grid_.masks} * grid_.row_blocks);
      require(tiles.tiles, entries);
    }
    require(mask_->by_column, entries);
    require(mask_->column_offsets, columns + 1);
    require(mask_->bits, std::min(ceil_div(entries, 4), kFirstStoredStrips) * kStripWords);
    require(ranks_, columns * (grid_.row_stride / mask_build::kRankStep));
    require(counts_, 4 * row_tiles);

    // Bytes of states, then numbers; row_stride keeps both aligned.
    const std::int64_t state_bytes = columns * grid_.row_stride;
    zeroed_bytes_ = state_bytes + 4 * (2 * columns + 1);
    require(zeroed_, zeroed_bytes_);
    summary_.require(Summary::kRows + Summary::kNumbersPerHeight * mask_->tiles.size() +
                     static_cast<std::size_t>(row_tiles));
    grid_.states = zeroed_.data();
    grid_.visited = reinterpret_cast<std::int32_t*>(zeroed_.data() + state_bytes);
    grid_.stored = grid_.visited + columns;
    grid_.bad_rows = grid_.stored + columns;
  }

  [[nodiscard]] mask_build::Lists lists() const {
    mask_build::Lists lists{};
    lists.columns = {mask_->by_column.data(), mask_->column_offsets.data(), ranks_.data(),
                     static_cast<std::int64_t>(mask_->by_column.size()),
                     summary_.data() + Summary::kBadRow};
    std::int32_t* counts = counts_.data();
    std::int32_t* totals = summary_.data() + Summary::kRows;
    std::int32_t* lengths = totals + Summary::kNumbersPerHeight * mask_->tiles.size();
    for (const hopper::PreparedTiles& tiles : mask_->tiles) {
      const std::int32_t count = grid_.masks * tiles.row_tiles;
      lists.rows[lists.heights++] = {.groups = tiles.groups,
                                     .row_tiles = tiles.row_tiles,
                                     .counts = counts,
                                     .masked = counts + count,
                                     .full = counts + 2 * count,
                                     .empty = counts + 3 * count,
                                     .items = tiles.items.data(),
                                     .rows = tiles.rows.data(),
                                     .tiles = tiles.tiles.data(),
                                     .empty_blocks = tiles.empty_blocks.data(),
                                     .lengths = lengths,
                                     .capacity = static_cast<std::int64_t>(tiles.tiles.size()),
                                     .totals = totals};
      counts += 4 * count;
      totals += Summary::kNumbersPerHeight;
      lengths += count;
    }
    return lists;
  }

  /// Lists and bits from the filled grid; `write` launches what depends on the pattern. Once more,
  /// with more room, when something did not fit.
  template <class Write>
  void finish(cudaStream_t stream, const Write& write) {
    for (;;) {
      const mask_build::Lists all = lists();
      if (grid_.row_blocks != 0 && grid_.key_tiles != 0) {
        check(mask_build::index_columns(grid_, all, stream), "launching the columns of a mask");
        write(all,
              mask_build::StoredBits{mask_->bits.data(),
                                     static_cast<std::int64_t>(mask_->bits.size()) / kStripWords});
      } else {
        write_nothing(stream);
      }
      check(cudaStreamSynchronize(stream), "building a mask");
      if (take_counts()) break;
    }
    mask_->holds_a_mask = true;
  }

  /// A mask without queries has no lists; one without keys visits nothing in any row.
  void write_nothing(cudaStream_t stream) const {
    std::fill_n(summary_.data(), Summary::kRows + Summary::kNumbersPerHeight * mask_->tiles.size(),
                0);
    check(cudaMemsetAsync(mask_->column_offsets.data(), 0,
                          mask_->column_offsets.size() * sizeof(std::int32_t), stream),
          "clearing the columns of a mask");
    for (const hopper::PreparedTiles& tiles : mask_->tiles) {
      std::vector<hopper::WorkItem> rows;
      std::vector<hopper::EmptyBlock> empty;
      for (std::int32_t m = 0; m < grid_.masks; ++m) {
        for (std::int32_t t = 0; t < tiles.row_tiles; ++t) rows.push_back({t, 0, 0, m});
        for (std::int32_t r = 0; r < grid_.row_blocks; ++r) empty.push_back({m, r});
      }
      check(cudaMemcpy(tiles.rows.data(), rows.data(), rows.size() * sizeof rows[0],
                       cudaMemcpyHostToDevice),
            "writing the rows of an empty mask");
      check(cudaMemcpy(tiles.empty_blocks.data(), empty.data(), empty.size() * sizeof empty[0],
                       cudaMemcpyHostToDevice),
            "writing the rows of an empty mask");
    }
  }

  /// The counts into the mask; false when some list had too little room and now has more.
  [[nodiscard]] bool take_counts() {
    visited_ = summary_[Summary::kColumns];
    stored_ = summary_[Summary::kColumns + 1];
    bool fits = visited_ <= static_cast<std::int64_t>(mask_->by_column.size()) &&
                stored_ * kStripWords <= static_cast<std::int64_t>(mask_->bits.size());
    require(mask_->by_column, visited_);
    require(mask_->bits, stored_ * kStripWords);
    std::size_t totals = Summary::kRows;
    std::size_t lengths = totals + Summary::kNumbersPerHeight * mask_->tiles.size();
    for (hopper::PreparedTiles& tiles : mask_->tiles) {
      tiles.total_tiles = summary_[totals];
      tiles.full_tiles = summary_[totals + 1];
      const auto items = static_cast<std::size_t>(summary_[totals + 2]);
      tiles.n_empty_blocks = summary_[totals + 3];
      if (grid_.key_tiles == 0) tiles.n_empty_blocks = grid_.masks * grid_.row_blocks;
      tiles.lengths.assign(summary_.data() + lengths, summary_.data() + lengths + items);
      fits = fits && tiles.total_tiles <= static_cast<std::int64_t>(tiles.tiles.size());
      require(tiles.tiles, tiles.total_tiles);
      totals += Summary::kNumbersPerHeight;
      lengths += static_cast<std::size_t>(grid_.masks) * static_cast<std::size_t>(tiles.row_tiles);
    }
    return fits;
  }

  std::shared_ptr<hopper::PreparedMask> mask_;
  mask_build::StripGrid grid_{};
  DeviceArray<std::uint8_t> zeroed_;  ///< states and counts of the grid, then the summary
  std::int64_t zeroed_bytes_ = 0;
  DeviceArray<std::int32_t> counts_;
  DeviceArray<std::uint32_t> ranks_;
  DeviceArray<std::uint32_t> unpacked_;
  mask_build::PinnedNumbers summary_;
  std::int64_t visited_ = 0;
  std::int64_t stored_ = 0;
};

namespace {

/// The shape of a stack of patterns, once it is known to be one.
template <class Pattern>
MaskShape shape_of(std::span<const Pattern> patterns, std::int32_t batch, std::int32_t heads) {
  if (batch < 1 || heads < 1) {
    throw Error(ErrorCode::invalid_argument, "a stack of " + std::to_string(batch) +
                                                 " batches and " + std::to_string(heads) +
                                                 " heads: both are at least 1");
  }
  if (static_cast<std::int64_t>(patterns.size()) != std::int64_t{batch} * heads) {
    throw Error(ErrorCode::invalid_argument,
                std::to_string(patterns.size()) + " masks for " + std::to_string(batch) +
                    " batches of " + std::to_string(heads) + " heads: one for each is needed");
  }
  const Pattern& first = patterns.front();
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if (patterns[i].n_q < 0 || patterns[i].n_k < 0) {
      throw Error(ErrorCode::invalid_argument,
                  "a mask of " + std::to_string(patterns[i].n_q) + " queries and " +
                      std::to_string(patterns[i].n_k) + " keys: neither may be negative");
    }
    if (patterns[i].n_q != first.n_q || patterns[i].n_k != first.n_k) {
      throw Error(ErrorCode::invalid_argument,
                  "mask " + std::to_string(i) + " of the stack differs from the first in shape");
    }
  }
  return {first.n_q, first.n_k, batch, heads};
}

}  // namespace

DeviceBlockMask::DeviceBlockMask() : builder_(std::make_unique<Builder>()) {}
DeviceBlockMask::~DeviceBlockMask() = default;
DeviceBlockMask::DeviceBlockMask(DeviceBlockMask&&) noexcept = default;
DeviceBlockMask& DeviceBlockMask::operator=(DeviceBlockMask&&) noexcept = default;

void DeviceBlockMask::build(std::span<const DensePattern> patterns, std::int32_t batch,
                            std::int32_t heads, void* stream) {
  builder_->build_dense(patterns, shape_of(patterns, batch, heads),
                        static_cast<cudaStream_t>(stream));
}

void DeviceBlockMask::build(std::span<const CsrPattern> patterns, std::int32_t batch,
                            std::int32_t heads, void* stream) {
  const MaskShape shape = shape_of(patterns, batch, heads);
  std::vector<mask_build::CsrSource> sources;
  for (const CsrPattern& pattern : patterns) {
    if (pattern.offsets.size() != static_cast<std::size_t>(pattern.n_q) + 1) {
      throw Error(ErrorCode::invalid_mask, "CSR mask: " + std::to_string(pattern.offsets.size()) +
                                               " offsets for " + std::to_string(pattern.n_q) +
                                               " rows; one more than rows is needed");
    }
    sources.push_back({pattern.offsets.data(), pattern.cols.data(),
                       static_cast<std::int64_t>(pattern.cols.size())});
  }
  builder_->build_csr(sources, shape, static_cast<cudaStream_t>(stream));
}

void DeviceBlockMask::build(const DensePattern& pattern, void* stream) {
  build(std::span(&pattern, 1), 1, 1, stream);
}

void DeviceBlockMask::build(const CsrPattern& pattern, void* stream) {
  build(std::span(&pattern, 1), 1, 1, stream);
}

void DeviceBlockMask::build(const CooPattern& pattern, void* stream) {
  const MaskShape shape = shape_of(std::span(&pattern, 1), 1, 1);
  if (pattern.rows.size() != pattern.cols.size()) {
    throw Error(ErrorCode::invalid_mask, "COO mask: " + std::to_string(pattern.rows.size()) +
                                             " rows and " + std::to_string(pattern.cols.size()) +
                                             " columns; a pair needs both");
  }
  const mask_build::DeviceCsr csr =
      mask_build::sort_coordinates(pattern, static_cast<cudaStream_t>(stream));
  const mask_build::CsrSource source = csr.source();
  builder_->build_csr(std::span(&source, 1), shape, static_cast<cudaStream_t>(stream));
}

std::int32_t DeviceBlockMask::n_q() const noexcept {
  return builder_->mask()->shape.n_q;
}
std::int32_t DeviceBlockMask::n_k() const noexcept {
  return builder_->mask()->shape.n_k;
}
std::int32_t DeviceBlockMask::batch() const noexcept {
  return builder_->mask()->shape.batch;
}
std::int32_t DeviceBlockMask::heads() const noexcept {
  return builder_->mask()->shape.heads;
}
std::int64_t DeviceBlockMask::visited_strips() const noexcept {
  return builder_->visited();
}
std::int64_t DeviceBlockMask::stored_strips() const noexcept {
  return builder_->stored();
}
std::size_t DeviceBlockMask::bytes() const noexcept {
  return builder_->bytes();
}

std::shared_ptr<const hopper::PreparedMask> DeviceBlockMask::prepared() const {
  return builder_->mask();
}

}  // namespace attn

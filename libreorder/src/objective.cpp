// SPDX-License-Identifier: Apache-2.0
#include "reorder/objective.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "checks.hpp"
#include "reorder/error.hpp"
#include "reorder/spec.hpp"
#include "runs.hpp"
#include "tile_rows.hpp"

namespace reorder {
namespace {

constexpr std::int32_t kMaxTileSide = 65536;

/// Calls `visit(TileRowCounts)` for each row of tiles from the top.
template <class Visit>
void count_rows(const CsrView& pattern, const Permutation* rows, const Permutation* cols, Tile tile,
                Visit visit) {
  validate(tile);
  const std::int64_t last = ceil_div(pattern.n_cols, tile.cols) - 1;
  const std::int64_t last_width = pattern.n_cols - last * tile.cols;
  for_each_tile_row(pattern, rows, cols, tile, [&](const TileRow& row) {
    TileRowCounts counts{.nonempty = static_cast<std::int64_t>(row.tiles.size())};
    for (const std::int32_t t : row.tiles) {
      const std::int64_t width = t == last ? last_width : tile.cols;
      counts.full += row.nnz[static_cast<std::size_t>(t)] == row.n_rows * width;
    }
    visit(counts);
  });
}

TileCounts count(const CsrView& pattern, const Permutation* rows, const Permutation* cols,
                 Tile tile) {
  TileCounts counts{.tile = tile, .nnz = pattern.nnz()};
  count_rows(pattern, rows, cols, tile, [&](const TileRowCounts& row) {
    ++counts.tile_rows;
    counts.nonempty += row.nonempty;
    counts.full += row.full;
    counts.max_per_row = std::max(counts.max_per_row, row.nonempty);
  });
  counts.tile_cols = ceil_div(pattern.n_cols, tile.cols);
  return counts;
}

/// Σₖ ⌈degrees[k·group] / width⌉ over the degrees sorted, largest first.
std::int64_t sum_of_group_maxima(std::vector<std::int64_t> degrees, std::int32_t group,
                                 std::int32_t width) {
  std::sort(degrees.begin(), degrees.end(), std::greater<>());
  std::int64_t sum = 0;
  for (std::size_t k = 0; k < degrees.size(); k += static_cast<std::size_t>(group)) {
    sum += ceil_div(degrees[k], width);
  }
  return sum;
}

/// Σ over rows of tiles of ⌈distinct columns / tile.cols⌉. The order of the columns is no matter.
std::int64_t gathered_tiles(const CsrView& pattern, const Permutation& rows, Tile tile) {
  // The row of tiles that last saw each column, in a stamp instead of a set to clear.
  std::vector<std::int32_t> seen_by(static_cast<std::size_t>(pattern.n_cols), -1);
  std::int64_t total = 0;
  std::int64_t distinct = 0;
  for (std::int32_t place = 0; place < pattern.n_rows; ++place) {
    const std::int32_t tile_row = place / tile.rows;
    for (const std::int32_t col : pattern.row(rows[place])) {
      std::int32_t& stamp = seen_by[static_cast<std::size_t>(col)];
      distinct += stamp != tile_row;
      stamp = tile_row;
    }
    if ((place + 1) % tile.rows == 0 || place + 1 == pattern.n_rows) {
      total += ceil_div(distinct, tile.cols);
      distinct = 0;
    }
  }
  return total;
}

const ParamSpec kRows{.name = "rows",
                      .fallback = std::int64_t{128},
                      .min = 1,
                      .max = kMaxTileSide,
                      .summary = "queries of a tile"};
const ParamSpec kCols{.name = "cols",
                      .fallback = std::int64_t{128},
                      .min = 1,
                      .max = kMaxTileSide,
                      .summary = "keys of a tile"};

ParamSpec coefficient(const char* name, double fallback) {
  return {.name = name, .fallback = fallback, .min = 0};
}

std::vector<ParamSpec> specs_of(Objective::Kind kind) {
  switch (kind) {
    case Objective::Kind::tiles:
    case Objective::Kind::gather:
      return {kRows, kCols};
    case Objective::Kind::tiles_min:
      return {kRows,
              kCols,
              {.name = "theta", .fallback = std::int64_t{1}, .min = 1},
              coefficient("lambda", 0)};
    case Objective::Kind::cost_model:
      return {kRows,
              kCols,
              coefficient("t_full", 1),
              coefficient("t_partial", 1),
              coefficient("t_row", 0),
              coefficient("t_gather", 0),
              {.name = "part_rows", .fallback = std::int64_t{0}, .min = 0, .max = kMaxTileSide},
              {.name = "part_cols", .fallback = std::int64_t{0}, .min = 0, .max = kMaxTileSide},
              coefficient("t_tile", 0),
              {.name = "box", .fallback = std::int64_t{1}, .min = 1}};
  }
  return {};
}

const char* name_of(Objective::Kind kind) {
  switch (kind) {
    case Objective::Kind::tiles:
      return "tiles";
    case Objective::Kind::gather:
      return "gather";
    case Objective::Kind::tiles_min:
      return "tiles_min";
    case Objective::Kind::cost_model:
      return "cost_model";
  }
  return "";
}

constexpr Objective::Kind kKinds[] = {Objective::Kind::tiles, Objective::Kind::gather,
                                      Objective::Kind::tiles_min, Objective::Kind::cost_model};

void require_coefficient(const char* name, double value) {
  if (!(value >= 0) || std::isinf(value)) {
    throw Error(ErrorCode::invalid_argument, std::string(name) + " is " + std::to_string(value) +
                                                 ", but must be finite and not negative");
  }
}

}  // namespace

void validate(const Tile& tile) {
  for (const std::int32_t side : {tile.rows, tile.cols}) {
    if (side < 1 || side > kMaxTileSide) {
      throw Error(ErrorCode::invalid_argument, "a tile cannot be " + std::to_string(tile.rows) +
                                                   " x " + std::to_string(tile.cols) +
                                                   "; each side must be in [1, 65536]");
    }
  }
}

void validate(const Objective& objective) {
  validate(objective.tile);
  if (objective.theta < 1) {
    throw Error(ErrorCode::invalid_argument,
                "theta is " + std::to_string(objective.theta) + ", but must be at least 1");
  }
  require_coefficient("lambda", objective.lambda);
  require_coefficient("t_full", objective.t_full);
  require_coefficient("t_partial", objective.t_partial);
  require_coefficient("t_row", objective.t_row);
  require_coefficient("t_gather", objective.t_gather);
  require_coefficient("t_tile", objective.t_tile);
  if (objective.part == Tile{0, 0}) return;
  validate(objective.part);
  if (objective.tile.rows % objective.part.rows != 0 ||
      objective.tile.cols % objective.part.cols != 0) {
    throw Error(ErrorCode::invalid_argument, "a tile of " + std::to_string(objective.tile.rows) +
                                                 " x " + std::to_string(objective.tile.cols) +
                                                 " does not consist of parts of " +
                                                 std::to_string(objective.part.rows) + " x " +
                                                 std::to_string(objective.part.cols));
  }
}

double TileCounts::fill() const noexcept {
  if (nonempty == 0) return 1;
  // Edge tiles are counted whole: the kernel pays for them whole.
  return static_cast<double>(nnz) / (static_cast<double>(nonempty) * tile.rows * tile.cols);
}

double TileCounts::imbalance() const noexcept {
  if (nonempty == 0) return 0;
  return static_cast<double>(max_per_row) * static_cast<double>(tile_rows) /
         static_cast<double>(nonempty);
}

TileCounts count_tiles(const CsrView& pattern, const Ordering& ordering, Tile tile) {
  require_match(pattern, ordering);
  return count(pattern, &ordering.rows, &ordering.cols, tile);
}

TileCounts count_tiles(const CsrView& pattern, Tile tile) {
  return count(pattern, nullptr, nullptr, tile);
}

std::vector<TileRowCounts> count_tile_rows(const CsrView& pattern, const Ordering& ordering,
                                           Tile tile) {
  require_match(pattern, ordering);
  std::vector<TileRowCounts> all;
  count_rows(pattern, &ordering.rows, &ordering.cols, tile,
             [&](const TileRowCounts& row) { all.push_back(row); });
  return all;
}

std::int64_t tile_lower_bound(const CsrView& pattern, Tile tile) {
  validate(tile);
  std::vector<std::int64_t> row_degrees(static_cast<std::size_t>(pattern.n_rows));
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    row_degrees[static_cast<std::size_t>(row)] = pattern.degree(row);
  }
  // As differences, so that a row without gaps counts by its ends.
  std::vector<std::int64_t> col_degrees(static_cast<std::size_t>(pattern.n_cols) + 1);
  for (std::int32_t row = 0; row < pattern.n_rows; ++row) {
    const std::span<const std::int32_t> columns = pattern.row(row);
    if (is_run(columns)) {
      ++col_degrees[static_cast<std::size_t>(columns.front())];
      --col_degrees[static_cast<std::size_t>(columns.back()) + 1];
      continue;
    }
    for (const std::int32_t col : columns) {
      ++col_degrees[static_cast<std::size_t>(col)];
      --col_degrees[static_cast<std::size_t>(col) + 1];
    }
  }
  std::partial_sum(col_degrees.begin(), col_degrees.end(), col_degrees.begin());
  col_degrees.pop_back();
  return std::max({ceil_div(pattern.nnz(), std::int64_t{tile.rows} * tile.cols),
                   sum_of_group_maxima(std::move(row_degrees), tile.rows, tile.cols),
                   sum_of_group_maxima(std::move(col_degrees), tile.cols, tile.rows)});
}

EnvelopeStats envelope(const CsrView& pattern, const Ordering& ordering) {
  require_match(pattern, ordering);
  const Permutation old_to_new = ordering.cols.inverse();
  EnvelopeStats stats;
  for (std::int32_t i = 0; i < pattern.n_rows; ++i) {
    std::int32_t first = i;
    for (const std::int32_t col : pattern.row(ordering.rows[i])) {
      const std::int32_t j = old_to_new[col];
      first = std::min(first, j);
      stats.bandwidth = std::max(stats.bandwidth, std::abs(std::int64_t{i} - j));
    }
    stats.profile += i - first;
  }
  return stats;
}

Objective parse_objective(std::string_view text) {
  // The braces only tell an objective from a strategy; inside they are a call's parentheses.
  std::string call_text(text);
  for (char& c : call_text) {
    if (c == '{') c = '(';
    if (c == '}') c = ')';
  }
  const Chain chain = [&] {
    try {
      return parse_chain(call_text);
    } catch (const Error& error) {  // it would speak of the parentheses, which nobody wrote
      throw Error(error.code(),
                  "'" + std::string(text) + "' is no objective; one is written as tiles{128,128}");
    }
  }();
  if (chain.size() != 1) {
    throw Error(ErrorCode::syntax, "'" + std::string(text) + "' is more than one objective");
  }
  std::vector<std::string> names;
  for (const Objective::Kind kind : kKinds) {
    names.emplace_back(name_of(kind));
    if (chain[0].name != name_of(kind)) continue;
    const std::vector<ParamSpec> specs = specs_of(kind);
    const Params params = reorder::bind(chain[0], specs);
    Objective objective{
        .kind = kind,
        .tile = {.rows = static_cast<std::int32_t>(params.integer("rows")),
                 .cols = static_cast<std::int32_t>(params.integer("cols"))},
    };
    if (kind == Objective::Kind::tiles_min) {
      objective.theta = params.integer("theta");
      objective.lambda = params.number("lambda");
    } else if (kind == Objective::Kind::cost_model) {
      objective.t_full = params.number("t_full");
      objective.t_partial = params.number("t_partial");
      objective.t_row = params.number("t_row");
      objective.t_gather = params.number("t_gather");
      objective.part = {.rows = static_cast<std::int32_t>(params.integer("part_rows")),
                        .cols = static_cast<std::int32_t>(params.integer("part_cols"))};
      objective.t_tile = params.number("t_tile");
      objective.box = params.integer("box");
    }
    return objective;
  }
  const std::string nearest = nearest_name(chain[0].name, names);
  throw Error(ErrorCode::syntax, "there is no objective '" + chain[0].name + "'" +
                                     (nearest.empty() ? "; there are tiles, gather, tiles_min and "
                                                        "cost_model"
                                                      : "; did you mean '" + nearest + "'?"));
}

std::string to_string(const Objective& objective) {
  std::string text = std::string(name_of(objective.kind)) + '{' +
                     std::to_string(objective.tile.rows) + ',' +
                     std::to_string(objective.tile.cols);
  const auto add = [&](const char* name, const Value& value) {
    text += std::string(",") + name + '=' + to_string(value);
  };
  if (objective.kind == Objective::Kind::tiles_min) {
    add("theta", objective.theta);
    add("lambda", objective.lambda);
  } else if (objective.kind == Objective::Kind::cost_model) {
    add("t_full", objective.t_full);
    add("t_partial", objective.t_partial);
    add("t_row", objective.t_row);
    if (objective.t_gather > 0) add("t_gather", objective.t_gather);
    if (objective.has_parts()) {
      add("part_rows", std::int64_t{objective.part.rows});
      add("part_cols", std::int64_t{objective.part.cols});
      add("t_tile", objective.t_tile);
    }
    if (objective.box > 1) add("box", objective.box);
  }
  return text + '}';
}

namespace {

/// The stride of `count` places from `first` on that rise evenly, 0 where they do not.
std::int32_t stride_of(const Permutation& order, std::int32_t first, std::int32_t count) {
  const std::int32_t stride = order[first + 1] - order[first];
  for (std::int32_t i = 2; i < count; ++i) {
    if (order[first + i] - order[first + i - 1] != stride) return 0;
  }
  return std::max(stride, 0);
}

/// Rows of one side that lie in no box, or all where boxes serve less than half of them.
std::int64_t rows_outside_boxes(const Permutation& order, std::int64_t box) {
  if (order.is_identity()) return 0;
  const std::int32_t n = order.size();
  if (box < 2 || box > n) return n;
  const auto height = static_cast<std::int32_t>(box);
  std::map<std::int32_t, std::int64_t> boxes;  // by stride
  for (std::int32_t first = 0; first + height <= n; first += height) {
    ++boxes[stride_of(order, first, height)];
  }
  boxes.erase(0);
  const auto most = std::max_element(
      boxes.begin(), boxes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == boxes.end()) return n;
  const std::int64_t inside = most->second + (most->first == 1 ? 0 : boxes[1]);
  const std::int64_t outside = n - inside * height;
  return 2 * outside <= n ? outside : n;
}

/// Of Q and O with the rows, of K and V with the columns.
double rows_moved(const Ordering& ordering, std::int64_t box) {
  return 2.0 * static_cast<double>(rows_outside_boxes(ordering.rows, box) +
                                   rows_outside_boxes(ordering.cols, box));
}

}  // namespace

double evaluate(const Objective& objective, const CsrView& pattern, const Ordering& ordering) {
  require_match(pattern, ordering);
  validate(objective);
  switch (objective.kind) {
    case Objective::Kind::tiles:
      return static_cast<double>(count_tiles(pattern, ordering, objective.tile).nonempty);
    case Objective::Kind::gather:
      return static_cast<double>(gathered_tiles(pattern, ordering.rows, objective.tile));
    case Objective::Kind::tiles_min: {
      std::int64_t tiles = 0;
      std::int64_t residual = 0;
      for_each_tile_row(pattern, &ordering.rows, &ordering.cols, objective.tile,
                        [&](const TileRow& row) {
                          for (const std::int32_t t : row.tiles) {
                            const std::int64_t nnz = row.nnz[static_cast<std::size_t>(t)];
                            const bool dense = nnz >= objective.theta;
                            tiles += dense;
                            residual += dense ? 0 : nnz;
                          }
                        });
      return static_cast<double>(tiles) + objective.lambda * static_cast<double>(residual);
    }
    case Objective::Kind::cost_model: {
      const TileCounts tiles = count_tiles(pattern, ordering, objective.tile);
      const TileCounts counts =
          objective.has_parts() ? count_tiles(pattern, ordering, objective.part) : tiles;
      return objective.t_full * static_cast<double>(counts.full) +
             objective.t_partial * static_cast<double>(counts.partial()) +
             objective.t_tile * static_cast<double>(tiles.nonempty) +
             objective.t_row * static_cast<double>(tiles.tile_rows) +
             objective.t_gather * rows_moved(ordering, objective.box);
    }
  }
  return 0;
}

}  // namespace reorder

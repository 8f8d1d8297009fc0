// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "experiments/cli/command.hpp"
#include "experiments/cli/report.hpp"
#include "experiments/parameters.hpp"
#include "experiments/text.hpp"
#include "experiments/tile_map.hpp"
#include "experiments/timing.hpp"
#include "masks/mask.hpp"

namespace experiments {
namespace {

struct FillOptions {
  CommonOptions common;
  std::string mask;
  std::string pipeline = "natural";
  std::string tiles = "128x128,64x128,128x32";
  std::string map;
};

struct Shape {
  reorder::TileCounts counts;
  std::int64_t lower_bound = 0;
};

std::string percent(double share) {
  return fixed(100 * share, share < 0.0995 ? 2 : 1) + "%";
}

std::string table_of(const std::vector<Shape>& shapes) {
  std::vector<std::vector<std::string>> rows = {
      {"tile", "all tiles", "non-empty", "full", "partial", "bound", "fill", "imbalance"}};
  for (const auto& [c, bound] : shapes) {
    rows.push_back({to_string(c.tile), grouped(c.total()), grouped(c.nonempty), grouped(c.full),
                    grouped(c.partial()), grouped(bound), percent(c.fill()),
                    fixed(c.imbalance(), 2)});
  }
  std::vector<Align> align(rows.front().size(), Align::right);
  align[0] = Align::left;
  return align_columns(rows, align);
}

Json to_json(const Shape& shape) {
  const auto& c = shape.counts;
  return {{"tile", to_string(c.tile)},
          {"total", c.total()},
          {"nonempty", c.nonempty},
          {"full", c.full},
          {"partial", c.partial()},
          {"lower_bound", shape.lower_bound},
          {"fill", c.fill()},
          {"imbalance", c.imbalance()},
          {"max_per_row", c.max_per_row}};
}

ExitCode fill(const FillOptions& options) {
  const auto registry = options.common.registry();
  const auto tiles = parse_tiles(options.tiles);
  const auto pipeline = reorder::Pipeline::parse(options.pipeline, registry);
  std::optional<masks::Mask> mask;
  const double make_seconds = stopwatch([&] { mask.emplace(masks::make(options.mask)); });
  const reorder::CsrView pattern = mask->pattern;

  // The order is chosen for the first shape and counted at all of them.
  const auto result = pipeline.run(pattern, {.objective = reorder::Objective::tiles(tiles.front()),
                                             .seed = options.common.seed,
                                             .threads = options.common.thread_count()});
  std::vector<Shape> shapes;
  reorder::EnvelopeStats envelope;
  const double count_seconds = stopwatch([&] {
    for (const auto& tile : tiles) {
      shapes.push_back({reorder::count_tiles(pattern, result.ordering, tile),
                        reorder::tile_lower_bound(pattern, tile)});
    }
    envelope = reorder::envelope(pattern, result.ordering);
  });
  if (!options.map.empty()) {
    write_tile_map(options.map, tile_map(pattern, result.ordering, tiles.front()));
  }

  if (options.common.json) {
    Json json{
        {"mask", mask->name},
        {"note", mask->note},
        {"n_q", pattern.n_rows},
        {"n_k", pattern.n_cols},
        {"nnz", pattern.nnz()},
        {"ordering", encode(ordering_facts(result))},
        {"bandwidth", envelope.bandwidth},
        {"profile", envelope.profile},
        {"tiles", Json::array()},
        {"seconds",
         {{"make", make_seconds}, {"ordering", result.report.seconds}, {"count", count_seconds}}}};
    for (const auto& shape : shapes) json["tiles"].push_back(to_json(shape));
    if (!options.map.empty()) json["map"] = options.map;
    print_json(json);
    return ExitCode::ok;
  }
  std::cout << describe(*mask);
  if (options.pipeline != "natural") {
    std::cout << describe(ordering_facts(result), result.report.seconds);
  }
  std::cout << labelled("bandwidth", grouped(envelope.bandwidth))
            << labelled("profile", grouped(envelope.profile)) << '\n'
            << table_of(shapes);
  return ExitCode::ok;
}

}  // namespace

void add_fill(CLI::App& app, Action& action) {
  add_command<FillOptions>(
      app, action, "fill", "Count the tiles that a mask visits, at several tile shapes", fill,
      [](CLI::App& command, FillOptions& options) {
        add_mask_option(command, options.mask);
        command
            .add_option("-p,--pipeline", options.pipeline, "Order it first, for the first shape")
            ->capture_default_str();
        command.add_option("-t,--tiles", options.tiles, "Tile shapes, queries x keys")
            ->capture_default_str();
        command
            .add_option("--map", options.map,
                        "Write the fill of each tile of the first shape as a 2-d .npy, for plot.py")
            ->type_name("OUT.npy")
            ->check(not_empty());
      });
}

}  // namespace experiments

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of what blockfill measured.

    plot.py fit results.jsonl [more.jsonl ...] -o fit.png
        Occupancy against runtime: a point a mask, measured against what one model of the counts
        of all masks says, the residuals below. Prints its coefficients, R² and the worst residual.
        Counts are those of `walk` in docs/records.md.

    plot.py maps before.npy after.npy -o maps.png --titles "natural" "peel(8)|rcm"
        Tile maps that `blockfill fill MASK --map FILE.npy` wrote, side by side.

    plot.py pareto orderings.jsonl -o pareto.png
        Ordering time against tiles, for the results of orderings_table.py.

    plot.py demo results.jsonl --program build/cpu/experiments/blockfill --out out/demo
        Both, for the results of a sweep: occupancy.png, and before and after of the three masks
        whose tiles fell the most.

Needs numpy and matplotlib, no display.
"""

import argparse
import sys

try:
    from plots import demo, maps, occupancy, pareto
except ModuleNotFoundError as error:
    sys.exit(f"plot.py: needs numpy and matplotlib, and {error.name} is not here")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("fit", help="occupancy against runtime, fitted")
    command.add_argument("results", nargs="+", metavar="RESULTS.jsonl")
    command.add_argument("-o", "--output", default="fit.png", metavar="OUT.png")
    command.add_argument("--exclude", default="dense,causal", metavar="FAMILIES",
                         help="left out of the fit and predicted by it (default: %(default)s)")
    command.add_argument("--min-ms", type=float, default=5.0,
                         help="points below are drawn but not fitted (default: %(default)s)")
    command.add_argument("--statistic", choices=["median", "q1", "min"], default="median",
                         help="of each timing (default: %(default)s)")
    command.set_defaults(run=occupancy.command_fit)
    command = commands.add_parser("maps", help="tile maps side by side")
    command.add_argument("maps", nargs="+", metavar="MAP.npy")
    command.add_argument("-o", "--output", default="maps.png", metavar="OUT.png")
    command.add_argument("--titles", nargs="+", metavar="TITLE")
    command.add_argument("--heading", default="")
    command.set_defaults(run=maps.command_maps)
    command = commands.add_parser("pareto", help="ordering time against tiles")
    command.add_argument("results", nargs="+", metavar="ORDERINGS.jsonl")
    command.add_argument("-o", "--output", default="pareto.png", metavar="OUT.png")
    command.set_defaults(run=pareto.command_pareto)
    command = commands.add_parser("demo", help="the pictures of a sweep's results")
    command.add_argument("results", metavar="RESULTS.jsonl")
    command.add_argument("--program", required=True, metavar="BLOCKFILL")
    command.add_argument("--out", required=True, metavar="FOLDER")
    command.add_argument("--pictures", type=int, default=3, help="tile maps (default: %(default)s)")
    command.set_defaults(run=demo.command_demo)
    args = parser.parse_args(arguments)
    args.run(args)


if __name__ == "__main__":
    main()

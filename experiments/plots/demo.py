# SPDX-License-Identifier: Apache-2.0
"""The pictures of a sweep's results."""

import re
import subprocess
import tempfile
from pathlib import Path

from plots.maps import draw_maps
from plots.occupancy import draw_fits
from plots.records import family_of, read_records
from plots.style import fail


def best_orders(records, count):
    """The record with the fewest tiles of each family, the largest falls first."""
    def left(record):
        return record["after"]["nonempty"] / record["before"]["nonempty"]

    best = {}
    for record in records:
        family = record["label"].split(",")[0] or family_of(record["problem"]["mask"])
        if family not in best or left(record) < left(best[family]):
            best[family] = record
    return sorted(best.values(), key=left)[:count]


def command_demo(args):
    records = read_records([args.results])
    if not records:
        fail(f"no successful records in {args.results}")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    # A demo measures few masks, some of them quick: all take part in the fit.
    draw_fits(records, {"dense", "causal"}, 0, "median", out / "occupancy.png")
    for record in best_orders(records, args.pictures):
        p = record["problem"]
        name = record["label"] or p["mask"]
        with tempfile.TemporaryDirectory() as folder:
            maps = []
            for pipeline in ("natural", p["pipeline"]):
                maps.append(Path(folder) / f"{len(maps)}.npy")
                command = [args.program, "fill", p["mask"], "--pipeline", pipeline, "--tiles",
                           p["tile"], "--seed", str(p["seed"]), "--map", str(maps[-1])]
                try:
                    run = subprocess.run(command, capture_output=True, text=True, check=False)
                except OSError as error:
                    fail(f"{args.program}: {error.strerror}")
                if run.returncode != 0:
                    fail(run.stderr.strip() or f"{args.program} returned {run.returncode}")
            slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
            draw_maps(maps, ["as it came", p["pipeline"]], name, out / f"tiles-{slug}.png")

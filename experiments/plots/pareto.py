# SPDX-License-Identifier: Apache-2.0
"""Ordering time against tiles."""

import json
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from plots.style import ACCENT, GRID, STRONG, fail, save


def mean_of(values):
    return float(np.exp(np.mean(np.log(values))))


def command_pareto(args):
    """Ordering time against tiles over all masks of orderings_table.py, relative to the best."""
    records = []
    for file in args.results:
        try:
            records += [json.loads(line) for line in
                        Path(file).read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:  # not there, no text or no JSON
            fail(f"{file}: {error}")
    if not all(isinstance(r, dict) and "results" in r for r in records) or not records:
        fail("no results of orderings_table.py in the files")
    best = [min(r["tiles"] for r in record["results"].values()) for record in records]
    names = [n for n in records[0]["results"] if n != "natural"]
    points = {}
    for name in names:
        # A pipeline that cannot take a mask leaves it as it came, in no time.
        tiles = [record["results"].get(name, record["results"]["natural"])["tiles"] / least
                 for record, least in zip(records, best)]
        times = [record["results"][name]["ms"] for record in records if name in record["results"]]
        points[name] = (mean_of(np.maximum(times, 0.1)), mean_of(tiles))
    figure, ax = plt.subplots(figsize=(7.6, 4.8))
    front, least = [], np.inf
    for name in sorted(points, key=lambda n: points[n]):
        if points[name][1] < least:
            front.append(points[name])
            least = points[name][1]
    ax.step(*zip(*front), where="post", color=ACCENT, lw=1, alpha=0.6, zorder=1)
    above, ahead = True, None
    for name, (ms, tiles) in sorted(points.items(), key=lambda point: point[1]):
        # Neighbours of about one height take turns above and below, so that no name hides another.
        close = ahead and abs(math.log(tiles / ahead[1])) < 0.15 and ms / ahead[0] < 8
        above = not above if close else True
        ahead = (ms, tiles)
        ours = name in ("auto", "grow", "staircase") or "signature" in name
        ax.plot(ms, tiles, "o", ms=7, color=ACCENT if ours else STRONG, zorder=2)
        if "|" in name:  # long: in lines, to the lower left
            ax.annotate(name.replace("|", "|\n"), (ms, tiles), xytext=(-6, -6), ha="right", va="top",
                        textcoords="offset points", fontsize=9)
        else:
            ax.annotate(name, (ms, tiles), xytext=(6, 5 if above else -12),
                        textcoords="offset points", fontsize=9)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.set_xlabel("ordering, ms (geometric mean)")
    ax.set_ylabel("tiles ÷ the fewest that any found")
    ax.grid(True, which="both", color=GRID, lw=0.6)
    ax.set_title(f"Quality against time, {len(records)} shuffled masks")
    save(figure, Path(args.output))

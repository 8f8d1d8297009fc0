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
import itertools
import json
import math
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402

INK = "#1d2733"
QUIET = "#6b7785"
GRID = "#e4e8ec"
ACCENT = "#c4442b"
# Empty, the palest and the strongest partial tile, full.
PAPER = np.array([1.0, 1.0, 1.0])
PALE = np.array([0.76, 0.86, 0.94])
STRONG = np.array([0.22, 0.53, 0.75])
FULL = np.array([0.03, 0.13, 0.31])

plt.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": QUIET,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "legend.frameon": False,
        "figure.facecolor": "white",
        "savefig.dpi": 160,
        "savefig.bbox": "tight",
    }
)


def fail(sentence, code=1):
    print(f"plot.py: {sentence}", file=sys.stderr)
    sys.exit(code)


# ---------------------------------------------------------------- fit


TERMS = ("full", "partial", "step", "row", "call")


@dataclass
class Point:
    """One mask in one order: what a call of all heads goes through, and its time."""

    family: str
    text: str
    counts: tuple  # full and partial parts, steps, rows, the call itself
    heaviest: tuple  # the same of its heaviest row, or all 0
    ms: float
    natural: bool  # in the order in which it came


def family_of(mask):
    """'longformer(n=4096)|shuffle(seed=1)' is of the family longformer."""
    name = mask.split("|")[0].split("(")[0]
    if name.startswith("peer:"):
        return name.removeprefix("peer:")
    return Path(name).name


RECORD_KEYS = {"key", "status", "problem", "ms"}


def read_records(files):
    latest = {}
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            fail(f"{file}: {error.strerror}")
        except UnicodeDecodeError:
            fail(f"{file}: no text, so no results of blockfill")
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                if number == len(lines):
                    continue  # torn by an interruption
                record = None
            if not isinstance(record, dict) or not record.keys() >= RECORD_KEYS:
                fail(f"{file}:{number}: not a record")
            latest[record["key"]] = record
    return [r for r in latest.values() if r["status"] == "ok" and r["ms"]]


def setting_of(record):
    """Times are comparable only within one setting."""
    p, e = record["problem"], record["environment"]
    passes = {"fwd": "", "bwd": " backward", "both": " both passes"}[p.get("pass", "fwd")]
    return (p["backend"] + passes, e["gpu"] or e["cpu"], p["dtype"], p["head_dim"], p["tile"],
            p["threads"])


def points_of(records, statistic):
    """Each mask once in the order it came in, and once for each order that changed it."""
    points, came = [], {}
    for r in records:
        p = r["problem"]
        heads = p["batch"] * p["heads"]

        def point(side, ms, natural, text, r=r, heads=heads):
            walk = r.get("walk")
            if walk:
                counts = walk[side]
                by_tile = walk["part"] == walk["step"]
                steps = 0 if by_tile else counts["steps"]
                rows = counts["rows"]
                heaviest = [counts.get(f"heaviest_{name}", 0)
                            for name in ("full", "partial", "steps")]
                if by_tile:
                    heaviest[2] = 0
            else:  # an older record has tiles alone
                counts, steps = r[side], 0
                rows, heaviest = counts["row_tiles"], [0, 0, 0]
            each = [heads * count for count in (counts["full"], counts["partial"], steps, rows)]
            row = (*heaviest, int(sum(heaviest) > 0), 1)
            return Point(family_of(r["mask"]["name"]), text, (*each, 1), row, ms, natural)

        # The natural order is timed beside each pipeline: the median of those is its point.
        same = (p["mask"], p["batch"], p["heads"], p["kv_heads"], p["seed"])
        came.setdefault(same, (r, point, []))[2].append(r["ms"]["natural"][statistic])
        if r["ms"]["permuted"]:
            text = f"{p['mask']} · {p['pipeline']}"
            points.append(point("after", r["ms"]["permuted"][statistic], False, text))
    for r, point, times in came.values():
        points.append(point("before", float(np.median(times)), True, r["problem"]["mask"]))
    return points


@dataclass
class Model:
    """What a call takes by its counts, in ms; call_cost.hpp has it in words."""

    terms: np.ndarray
    rows_at_once: float = 0

    @staticmethod
    def shared_out(points, rows_at_once):
        counts = np.array([p.counts for p in points], dtype=float)
        rows = counts[:, TERMS.index("row")]
        # Where all rows go on at once none begins last.
        lag = np.where(rows > rows_at_once, 1 + rows_at_once / (2 * np.maximum(rows, 1)), 1)
        counts[:, :-1] *= lag[:, None]
        return counts

    @staticmethod
    def heaviest_row(points, rows_at_once):
        counts = np.array([p.heaviest for p in points], dtype=float)
        counts[:, :-1] *= rows_at_once
        return counts

    def predict(self, points):
        return np.maximum(self.shared_out(points, self.rows_at_once) @ self.terms,
                          self.heaviest_row(points, self.rows_at_once) @ self.terms)


def solve(features):
    """Coefficients, none negative, that bring the features nearest to 1.

    Few unknowns: the best of all subsets whose least-squares solution is non-negative is exact.
    """
    best, best_error = None, np.inf
    for size in range(len(TERMS), 0, -1):
        for subset in itertools.combinations(range(len(TERMS)), size):
            columns = list(subset)
            solution, *_ = np.linalg.lstsq(features[:, columns], np.ones(len(features)), rcond=None)
            if (solution < 0).any():
                continue
            error = np.sum((features[:, columns] @ solution - 1) ** 2)
            if error < best_error - 1e-12:
                best, best_error = np.zeros(len(TERMS)), error
                best[columns] = solution
    return best


def fit_with(points, rows_at_once):
    """With so many rows at once. Which points end with their heaviest row depends on the
    coefficients: begun with none, and taken from the last solution until it stays."""
    ms = np.array([p.ms for p in points])[:, None]
    shared = Model.shared_out(points, rows_at_once)
    heaviest = Model.heaviest_row(points, rows_at_once)
    model, ends_with_it = None, np.zeros(len(points), dtype=bool)
    for _ in range(8):
        model = Model(solve(np.where(ends_with_it[:, None], heaviest, shared) / ms), rows_at_once)
        before, ends_with_it = ends_with_it, heaviest @ model.terms > shared @ model.terms
        if (before == ends_with_it).all():
            break
    return model


def fit(points, plane=False):
    """The model with the least sum of squared relative errors, as fit.cpp finds it; `plane`: as if
    all rows shared all there is."""
    ms = np.array([p.ms for p in points])

    def error(model):
        return np.sum((model.predict(points) / ms - 1) ** 2)

    best = fit_with(points, 0)
    if plane or not any(sum(p.heaviest[:2]) for p in points):
        return best
    # Coarsely, then around the best.
    for factor, steps in ((1.03, range(0, 235)), (1.001, range(-29, 30))):
        begin = best.rows_at_once or 1
        for step in steps:
            model = fit_with(points, begin * factor ** step)
            if error(model) < error(best) - 1e-12:
                best = model
    return best


def r_squared(measured, predicted):
    spread = np.sum((measured - measured.mean()) ** 2)
    return 1 - np.sum((measured - predicted) ** 2) / spread if spread > 0 else float("nan")


def styles(families):
    markers = "osD^vPX*<>hp"
    colours = [plt.get_cmap("tab20").colors[i] for i in (0, 2, 4, 6, 8, 10, 12, 16, 18, 1, 5, 9)]
    return {
        f: (colours[i % len(colours)], markers[(i + i // len(colours)) % len(markers)])
        for i, f in enumerate(families)
    }


def draw_fit(setting, points, excluded, min_ms, out):
    backend, machine, dtype, head_dim, tile, threads = setting
    fitted = [p for p in points if p.family not in excluded and p.ms >= min_ms]
    predicted = [p for p in points if p.family in excluded]
    small = [p for p in points if p.family not in excluded and p.ms < min_ms]
    if len(fitted) < 6:
        fail(f"only {len(fitted)} points of at least {min_ms} ms to fit; lower --min-ms")
    model = fit(fitted)
    measured = np.array([p.ms for p in fitted])
    modelled = model.predict(fitted)
    residual = measured / modelled - 1
    r2 = r_squared(measured, modelled)
    worst = fitted[int(np.argmax(np.abs(residual)))]

    threads_word = "thread" if threads == 1 else "threads"
    name = f"{backend}, {dtype}, D={head_dim}, tiles of {tile}, {threads} {threads_word}, {machine}"
    # What is 1e-9 of a call and less is not there.
    terms = [f"{term:8} {1e6 * value:.3g} ns" if value < 1e-3 else f"{term:8} {1e3 * value:.3g} µs"
             for term, value in zip(TERMS, model.terms) if value > 1e-7]
    print(name)
    print(f"  points     {len(fitted)} fitted, {len(small)} below {min_ms:g} ms, "
          f"{len(predicted)} predicted only")
    print("\n".join(f"  t_{term}" for term in terms))
    if model.rows_at_once:
        terms.append(f"{model.rows_at_once:.0f} rows at once")
        print(f"  at once    {model.rows_at_once:.0f} rows")
    print(f"  R²         {r2:.4f}")
    print(f"  worst      {100 * residual[np.argmax(np.abs(residual))]:+.1f} % {worst.text}")
    for p in predicted:
        if p.natural and p.ms >= min_ms:
            print(f"  predicted  {100 * (p.ms / model.predict([p])[0] - 1):+.1f} % {p.text}")

    families = sorted({p.family for p in points})
    style = styles(families)
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(9.4, 7.4), sharex=True, height_ratios=[3, 1], gridspec_kw={"hspace": 0.08}
    )
    said = model.predict(points)
    ends = np.array([0.8 * min(min(said), min_ms), 1.25 * max(said)])
    top.plot(ends, ends, color=INK, lw=1.2, zorder=1)
    for p, ms in zip(points, said):
        colour, marker = style[p.family]
        kind = {"s": 46, "marker": marker, "linewidths": 1.1, "zorder": 3}
        if p.family in excluded:
            kind |= {"facecolors": "none", "edgecolors": ACCENT, "s": 80}
        elif p.natural:
            kind |= {"facecolors": colour, "edgecolors": "white", "linewidths": 0.6}
        else:
            kind |= {"facecolors": "none", "edgecolors": colour}
        top.scatter(ms, p.ms, **kind)
        if p.ms >= min_ms:
            bottom.scatter(ms, 100 * (p.ms / ms - 1), **(kind | {"s": 24}))
    top.set_ylabel("measured, ms a call")
    top.set(xscale="log", yscale="log", xlim=ends)
    top.set_title("Runtime follows what of a mask is visited", pad=22, fontsize=14)
    top.text(0, 1.025, name, transform=top.transAxes, color=QUIET, fontsize=8.5)
    top.text(
        0.035,
        0.95,
        f"$R^2$ = {r2:.4f}\n" + "\n".join(terms),
        transform=top.transAxes,
        va="top",
        linespacing=1.5,
        bbox={"facecolor": "white", "edgecolor": GRID, "boxstyle": "round,pad=0.6"},
    )
    bottom.axhspan(-15, 15, color=GRID, alpha=0.7, lw=0)
    bottom.axhline(0, color=INK, lw=0.8)
    bottom.set_ylabel("off the fit, %")
    limit = max(24, 1.1 * np.abs(100 * residual).max())
    bottom.set_ylim(-limit, limit)
    bottom.set_xlabel("ms a call by full and partial parts, steps, rows and the call itself")
    for axes in (top, bottom):
        axes.grid(color=GRID, lw=0.6)
        axes.set_axisbelow(True)
    handles = [
        Line2D([], [], ls="", marker=style[f][1], ms=6.5, label=f,
               mfc="none" if f in excluded else style[f][0],
               mec=ACCENT if f in excluded else style[f][0])
        for f in families
    ]
    handles += [
        Line2D([], [], ls="", marker="o", mfc=QUIET, mec="white", ms=7, label="as it came"),
        Line2D([], [], ls="", marker="o", mfc="none", mec=QUIET, ms=6, label="reordered"),
    ]
    if predicted:
        handles.append(Line2D([], [], ls="", marker="o", mfc="none", mec=ACCENT, ms=8,
                              label="left out of the fit"))
    top.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8.5,
               handletextpad=0.3)
    save(figure, out)


def draw_fits(records, excluded, min_ms, statistic, out):
    """One figure for each setting, the one with the most records first."""
    settings = {}
    for record in records:
        settings.setdefault(setting_of(record), []).append(record)
    for index, (setting, group) in enumerate(sorted(settings.items(), key=lambda x: -len(x[1]))):
        if index > 0:
            print()
        file = out if index == 0 else out.with_stem(f"{out.stem}.{index + 1}")
        draw_fit(setting, points_of(group, statistic), excluded, min_ms, file)


def command_fit(args):
    records = read_records(args.results)
    if not records:
        fail("no successful records in " + ", ".join(args.results))
    draw_fits(records, set(args.exclude.split(",")), args.min_ms, args.statistic,
              Path(args.output))


# ---------------------------------------------------------------- maps


def colours_of(fill):
    """White where a tile is empty, blue by the root of its fill, dark where it is full."""
    # The root lifts sparse tiles off the paper: a kernel pays for one allowed pair as for all.
    depth = np.sqrt(np.clip(fill, 0, 1))[..., None]
    image = PALE + (STRONG - PALE) * depth
    image[fill <= 0] = PAPER
    image[fill >= 1] = FULL
    return image


def draw_maps(files, titles, heading, out):
    maps = []
    for file in files:
        try:
            maps.append(np.load(file))
        except (OSError, ValueError) as error:
            fail(f"{file}: {error}")
        if maps[-1].ndim != 2 or maps[-1].size == 0:
            fail(f"{file}: not a tile map, its shape is {maps[-1].shape}")
    figure, axes = plt.subplots(1, len(maps), figsize=(4.6 * len(maps), 5.2), squeeze=False,
                                gridspec_kw={"wspace": 0.12})
    for panel, (ax, fill, title) in enumerate(zip(axes[0], maps, titles)):
        ax.imshow(colours_of(fill), interpolation="nearest", aspect="auto")
        ax.set_box_aspect(1 if fill.shape[0] == fill.shape[1] else
                          float(np.clip(fill.shape[0] / fill.shape[1], 0.4, 2.5)))
        visited, full = int((fill > 0).sum()), int((fill >= 1).sum())
        ax.set_title(title, pad=24, fontsize=11)
        ax.text(0, 1.02, f"{visited:,} of {fill.size:,} tiles, {full:,} full", fontsize=9,
                transform=ax.transAxes, color=QUIET, va="bottom")
        ax.set_xlabel("tiles of keys")
        if panel == 0:
            ax.set_ylabel("tiles of queries")
        for spine in ax.spines.values():
            spine.set_visible(True)
            spine.set_color(QUIET)
        ax.tick_params(length=3)
    handles = [
        Patch(facecolor=PAPER, edgecolor=QUIET, lw=0.7, label="empty"),
        Patch(facecolor=PALE, label="partial, sparse"),
        Patch(facecolor=STRONG, label="partial, dense"),
        Patch(facecolor=FULL, label="full"),
    ]
    figure.canvas.draw()  # only now are the places of the panels known
    box = axes[0][0].get_position()
    figure.legend(handles=handles, loc="upper center", ncol=4, fontsize=9, handlelength=1.1,
                  bbox_to_anchor=(0.5, box.y0 - 0.11))
    if heading:
        figure.text(box.x0, box.y1 + 0.14, heading, fontsize=13, fontweight="bold")
    save(figure, out)


def command_maps(args):
    titles = args.titles or [Path(f).stem for f in args.maps]
    if len(titles) != len(args.maps):
        fail(f"{len(args.maps)} maps but {len(titles)} titles", 2)
    draw_maps(args.maps, titles, args.heading, Path(args.output))


# ---------------------------------------------------------------- demo


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


# ---------------------------------------------------------------- pareto


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


def save(figure, out):
    try:
        figure.savefig(out)
    except OSError as error:
        Path(out).unlink(missing_ok=True)
        fail(f"{out}: {error.strerror}")
    plt.close(figure)
    print(f"  written    {out}")


def main():
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
    command.set_defaults(run=command_fit)
    command = commands.add_parser("maps", help="tile maps side by side")
    command.add_argument("maps", nargs="+", metavar="MAP.npy")
    command.add_argument("-o", "--output", default="maps.png", metavar="OUT.png")
    command.add_argument("--titles", nargs="+", metavar="TITLE")
    command.add_argument("--heading", default="")
    command.set_defaults(run=command_maps)
    command = commands.add_parser("pareto", help="ordering time against tiles")
    command.add_argument("results", nargs="+", metavar="ORDERINGS.jsonl")
    command.add_argument("-o", "--output", default="pareto.png", metavar="OUT.png")
    command.set_defaults(run=command_pareto)
    command = commands.add_parser("demo", help="the pictures of a sweep's results")
    command.add_argument("results", metavar="RESULTS.jsonl")
    command.add_argument("--program", required=True, metavar="BLOCKFILL")
    command.add_argument("--out", required=True, metavar="FOLDER")
    command.add_argument("--pictures", type=int, default=3, help="tile maps (default: %(default)s)")
    command.set_defaults(run=command_demo)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Occupancy against runtime."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from plots.model import TERMS, fit, r_squared
from plots.records import points_of, read_records, setting_of
from plots.style import ACCENT, GRID, INK, QUIET, fail, save


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
    least = min(min(said), min_ms) if min_ms > 0 else min(said)
    ends = np.array([0.8 * least, 1.25 * max(said)])
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
    for axis in (top.xaxis, top.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
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

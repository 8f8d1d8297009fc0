# SPDX-License-Identifier: Apache-2.0
"""Tile maps side by side."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from plots.style import FULL, PALE, PAPER, QUIET, STRONG, fail, save


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

# SPDX-License-Identifier: Apache-2.0
"""How all pictures look, and what ends them."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

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


def save(figure, out):
    try:
        figure.savefig(out)
    except OSError as error:
        Path(out).unlink(missing_ok=True)
        fail(f"{out}: {error.strerror}")
    plt.close(figure)
    print(f"  written    {out}")
